"""The notify role: events out, to webhooks and MQTT brokers, until they are accepted."""
