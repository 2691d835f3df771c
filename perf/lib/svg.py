"""A small SVG writer: panels of horizontal bars with whiskers from the lowest to the highest round.

Every panel has its own scale, since cases differ by orders of magnitude; every bar has its name and its figure, so
nothing depends on colour. The background is part of the picture, so that it can be read on light and dark pages.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, MARGIN, GAP = 1080, 24, 28
TITLE_HEIGHT, PANEL_HEAD, ROW, BAR = 64, 26, 20, 13
NAME_WIDTH, FIGURE_WIDTH, NAME_LENGTH_MAX = 82, 62, 12

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; } .sub, .figure { fill: #59636e; } .panel { font-weight: 600; }
  .page { fill: #ffffff; } .whisker { stroke: #1f2328; stroke-width: 1.2; } .failed { fill: #c62828; }
  .direct { fill: #9aa3ad; } .haproxy { fill: #3f7fbf; } .nginx { fill: #2f9e6e; } .docker-proxy { fill: #b08d3c; }
  .pgbouncer { fill: #9467bd; } .pierhead { fill: #e4572e; } .own { font-weight: 600; } .variant { opacity: 0.6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .sub, .figure { fill: #9198a1; } .page { fill: #0d1117; } .whisker { stroke: #e6edf3; }
    .direct { fill: #6e7681; } .failed { fill: #ff7b72; }
  }
"""


@dataclass(frozen=True)
class Bar:
    """`median` of none: the subject failed."""

    subject: str
    median: float
    min: float
    max: float
    figure: str


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    bars: tuple


def picture(title, subtitle, panels, columns):
    """The whole file, or nothing if there is nothing to show."""
    panel_width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    panels = [panel for panel in panels if panel.bars]
    if not panels:
        return None
    body, top = [], TITLE_HEIGHT
    for start in range(0, len(panels), columns):
        row = panels[start:start + columns]
        for column, panel in enumerate(row):
            body += draw_panel(panel, MARGIN + column * (panel_width + GAP), top, panel_width)
        top += PANEL_HEAD + ROW * max(len(panel.bars) for panel in row) + 18
    height = top + 4
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        text(MARGIN, 28, title, "title"), text(MARGIN, 48, subtitle, "sub"), *body, "</svg>", ""])


def draw_panel(panel, left, top, width):
    out = [text(left, top + 14, panel.title, "panel"), text(left + width, top + 14, panel.unit, "sub", anchor="end")]
    span = max((bar.max for bar in panel.bars if bar.median is not None), default=0) or 1
    bars_left, bars_width = left + NAME_WIDTH, width - NAME_WIDTH - FIGURE_WIDTH
    for index, bar in enumerate(panel.bars):
        y = top + PANEL_HEAD + index * ROW
        out += draw_bar(bar, left, bars_left, y, lambda value: max(0.0, value) / span * bars_width)
    return out


def draw_bar(bar, left, bars_left, y, scaled):
    kind, _, variant = bar.subject.partition(":")
    own = " own" if kind == "pierhead" else ""
    out = [text(left, y + 11, f":{variant}"[:NAME_LENGTH_MAX] if variant else kind, own.strip())]
    kind += " variant" if variant else ""
    if bar.median is None:
        return [*out, text(bars_left, y + 11, "failed", "failed")]
    middle = y + 1 + BAR / 2
    width = max(scaled(bar.median), 1)
    out.append(f'<rect class="{kind}" x="{bars_left}" y="{y + 1}" width="{width:.1f}" height="{BAR}" rx="2"/>')
    if bar.max > bar.min:
        low, high = bars_left + scaled(bar.min), bars_left + scaled(bar.max)
        line = f"M{low:.1f} {middle - 3}v6M{low:.1f} {middle}H{high:.1f}M{high:.1f} {middle - 3}v6"
        out.append(f'<path class="whisker" fill="none" d="{line}"/>')
    end = bars_left + max(scaled(bar.max), scaled(bar.median))
    return [*out, text(round(end + 6, 1), y + 11, bar.figure, "figure" + own)]


def text(x, y, content, kind="", anchor=None):
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{extra}>{escape(content)}</text>'
