#!/usr/bin/env python3
"""Draws terminal output as an SVG: picture.py < output.txt > docs/images/demo.svg"""
import html
import sys

FONT_SIZE, LINE_HEIGHT, CHAR_WIDTH, MARGIN = 13, 17, 8.0, 14

lines = [line.rstrip("\n") for line in sys.stdin]
width = round(max(map(len, lines), default=0) * CHAR_WIDTH) + 2 * MARGIN
height = len(lines) * LINE_HEIGHT + 2 * MARGIN
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">')
print(f'<rect width="{width}" height="{height}" rx="6" fill="#11151c"/>')
print(f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{FONT_SIZE}" fill="#d6dde6" xml:space="preserve">')
for number, line in enumerate(lines):
    baseline = MARGIN + (number + 0.8) * LINE_HEIGHT
    # A fixed length keeps box-drawing columns aligned whatever font is there.
    length = round(len(line) * CHAR_WIDTH, 1)
    if line:
        print(f'<text x="{MARGIN}" y="{baseline:.1f}" textLength="{length}">{html.escape(line)}</text>')
print("</g>\n</svg>")
