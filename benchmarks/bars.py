"""The bars that figures are held to, printed beside them."""


def against(figure: float, bar: float, unit: str = "", *, least: bool = False) -> str:
    """Say whether a figure meets its bar.

    Args:
        figure: what was measured.
        bar: what was promised, in the same unit.
        unit: of both.
        least: whether the figure is to be at least the bar, and not at most.

    Returns:
        For example ``"<= 60 ms: met"``.
    """
    met = figure >= bar if least else figure <= bar
    return f"{'>=' if least else '<='} {bar:g}{' ' * bool(unit)}{unit}: {'met' if met else 'MISSED'}"
