"""Takes in the feedback that other tools write, and says how often each camera's alarms are right."""
