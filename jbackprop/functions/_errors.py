"""Other people's exceptions in a few words."""


def error_line(error: BaseException) -> str:
    """Its type and the first line of what it says."""
    return f"{type(error).__name__}: {error_message(error)}"


def error_message(error: BaseException) -> str:
    """The first line of what it says, the second too where that ends in a colon; its type where it says nothing."""
    lines = str(error).splitlines() or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
