"""What is wrong with this machine or with what brokers keep."""
