"""Shares and changes as tables print them; a dash where there is none."""


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"
