"""Draws a sheet of panels as an SVG, for the pictures in docs/."""

from html import escape

COLORS = ["#3b78c2", "#e0752d", "#4f9d45", "#bf3f3f", "#7e57c2", "#c2a51e", "#1f9e9e", "#8c6d5a"]
WIDTH, HEIGHT, COLUMNS = 480, 230, 2
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 62


def text(x, y, content, size=10, anchor="start", weight="normal", color="#444"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{color}">{escape(content)}</text>'


def legend(names):
    """The names of the lines below a panel, four in a row."""
    drawn = []
    for number, name in enumerate(names):
        x, y = LEFT + number % 4 * 104, HEIGHT - 30 + number // 4 * 15
        drawn.append(f'<rect x="{x}" y="{y - 8}" width="9" height="9" fill="{COLORS[number % 8]}"/>')
        drawn.append(text(x + 13, y, name[:16], 9))
    return drawn


def grid(most, shown):
    """The grid of a scale from 0 to the maximum with its labels, and a function from a value to its y coordinate."""
    down = lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most
    drawn = []
    for part in range(5):
        y = down(most * part / 4)
        drawn.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        drawn.append(text(LEFT - 5, y + 3, shown(most * part / 4), 9, "end"))
    return drawn, down


def sheet(panels):
    """The SVG of all panels. Each panel is its title and its elements."""
    parts = []
    for number, (title, drawn) in enumerate(panels):
        x, y = number % COLUMNS * (WIDTH + 10), number // COLUMNS * (HEIGHT + 10)
        frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff" stroke="#d5d5d5" rx="3"/>'
        head = text(12, 20, title, 12, weight="bold", color="#222")
        parts.append(f'<g transform="translate({x},{y})">{frame}{head}{"".join(drawn)}</g>')
    width, height = COLUMNS * (WIDTH + 10) - 10, -(-len(parts) // COLUMNS) * (HEIGHT + 10) - 10
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    return "\n".join([svg, *parts, "</svg>"]) + "\n"
