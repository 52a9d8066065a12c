"""The site stage: what no single camera's judge can say, since it takes all of them together."""
