"""The page's looks: one palette for light, one for dark, print in black on white.

Text keeps a contrast of 4.5 to its ground and lines one of 3 (WCAG 2.2, 1.4.3 and 1.4.11; a test
computes both). No meaning hangs on colour alone: lines differ in their dashes, verdicts in words.
"""

from collections.abc import Mapping

Palette = Mapping[str, str]

LIGHT: Palette = {
    "ground": "#ffffff", "panel": "#f5f6f8", "text": "#1b1f24", "quiet": "#57606a",
    "rule": "#d0d7de", "band": "#fbeed5", "good": "#1a6b38", "bad": "#b3261e", "unsure": "#805600",
    "answered": "#1a6fb5", "late": "#8250a8", "rejected": "#b35900", "failed": "#b3261e",
}  # fmt: skip
DARK: Palette = {
    "ground": "#12151a", "panel": "#1b2027", "text": "#e6e9ed", "quiet": "#a3adb8",
    "rule": "#3a424c", "band": "#3a2f1a", "good": "#63c985", "bad": "#ff8a80", "unsure": "#e5b454",
    "answered": "#6cb6f5", "late": "#c9a0ee", "rejected": "#f0a050", "failed": "#ff8a80",
}  # fmt: skip
TEXT_COLOURS = ("text", "quiet", "good", "bad", "unsure")
LINE_COLOURS = ("answered", "late", "rejected", "failed")
GROUNDS = ("ground", "panel", "band")


def stylesheet() -> str:
    """Return the page's CSS."""
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}{_RULES}"
    )


def _variables(palette: Palette) -> str:
    return "".join(f"--{name}:{value};" for name, value in palette.items())


_RULES = """
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 20px 48px;max-width:1080px;background:var(--ground);
color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px}h2{font-size:1.2rem;margin:40px 0 8px;
padding-top:12px;border-top:1px solid var(--rule)}h3{font-size:1rem;margin:16px 0 4px}
p{margin:6px 0;max-width:76ch}.quiet,figcaption{color:var(--quiet);font-size:.875rem}
.verdict{background:var(--panel);border-left:6px solid var(--quiet);padding:12px 18px;
margin:16px 0;border-radius:0 6px 6px 0}.verdict.held{border-color:var(--good)}
.verdict.refuted{border-color:var(--bad)}.verdict.inconclusive{border-color:var(--unsure)}
.held>strong,.good{color:var(--good)}.refuted>strong,.bad{color:var(--bad)}
.inconclusive>strong,.unsure{color:var(--unsure)}.verdict>strong{font-size:1.15rem}
.good,.bad,.unsure{font-weight:600}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;margin:8px 0;
font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--quiet);padding:2px 0}
th,td{padding:4px 14px 4px 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--rule)}.n{text-align:right}thead th{color:var(--quiet);
font-weight:600}code,pre{font:.875rem/1.5 ui-monospace,Menlo,Consolas,monospace}
pre{background:var(--panel);padding:10px 14px;border-radius:6px;overflow-x:auto;
white-space:pre-wrap;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:8px 28px}
figure{margin:0;min-width:0;max-width:640px}figure svg{width:100%;height:auto;display:block}
details{margin:6px 0}summary{cursor:pointer;color:var(--quiet);font-size:.875rem}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:6px 0;padding:0;
font-size:.875rem}.sample{width:26px;height:10px;margin-right:6px}
svg text{fill:var(--text);font:11px system-ui,sans-serif}svg .unit{fill:var(--quiet)}
.grid,.tick{stroke:var(--rule);fill:none;stroke-width:1}.axis{stroke:var(--quiet);fill:none}
.band{fill:var(--band)}svg .band-label{fill:var(--unsure);font-size:10px}
.level{stroke:var(--quiet);stroke-dasharray:1 3;fill:none}
svg .level-label{fill:var(--quiet);font-size:10px}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round;
stroke:var(--answered)}.answered{stroke:var(--answered)}
.late{stroke:var(--late);stroke-dasharray:10 3 2 3}
.rejected{stroke:var(--rejected);stroke-dasharray:7 4}
.failed{stroke:var(--failed);stroke-dasharray:1.5 4}
.p95{stroke-dasharray:7 4}.p99{stroke-dasharray:1.5 4}
.main,.run-a{stroke:var(--answered)}.control,.run-b{stroke:var(--rejected);stroke-dasharray:7 4}
.hop{fill:var(--answered);opacity:.85}.hop.wrong{fill:var(--failed)}
.wait{fill:none;stroke:var(--ground);stroke-width:3}
@media print{body{max-width:none;padding:0;font-size:11pt}h2{break-after:avoid}
.pair{grid-template-columns:1fr 1fr}
figure,.verdict,tr{break-inside:avoid}details{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
