"""The one exception that is the user's to mend."""


class BadInput(ValueError):
    """What the user gave cannot be used; the message is one line that names it and says what would be right."""
