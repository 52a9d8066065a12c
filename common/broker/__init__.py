"""Everything that talks to the broker; the only owner of the redis client."""
