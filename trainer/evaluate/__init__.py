"""Judge what a system says of labelled pictures: truth and predictions in, figures out. No torch in here."""
