"""Speed on this machine, as ``maskwatch bench`` measures it."""
