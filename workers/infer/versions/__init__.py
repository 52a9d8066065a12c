"""Which networks serve, and how others take their place: fetched, tried, watched, exchanged."""
