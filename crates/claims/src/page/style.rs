//! The style sheet of the HTML report.

/// Colours for light and dark, wide and narrow; contrast of text at least 4.5 in both.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2128;--soft:#57606a;--paper:#ffffff;--card:#f6f8fa;--rule:#d0d7de;\
--good:#116329;--bad:#b3151f;--up:#0b5cad;--down:#8a4600;--open:#57606a}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--paper:#0f1318;--card:#181d24;--rule:#343b44;\
--good:#5fd37a;--bad:#ff8a85;--up:#79b8ff;--down:#f0a35e;--open:#9da7b3}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;overflow-wrap:anywhere}
h1{font-size:1.9rem;line-height:1.2;margin:.6rem 0 .3rem}
h2{font-size:1.35rem;margin:2.4rem 0 .6rem}
h3{font-size:1.12rem;margin:0 0 .5rem;line-height:1.35}
a{color:inherit}
.soft{color:var(--soft);font-size:.9rem}
.lead{font-size:1.1rem;margin:.4rem 0}
code,pre{font:.86rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--paper);border:1px solid var(--rule);border-radius:6px;padding:.7rem;overflow-x:auto;\
white-space:pre;overflow-wrap:normal;max-height:28rem;margin:.5rem 0 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.38rem .5rem;border-bottom:1px solid var(--rule);vertical-align:top;overflow-wrap:break-word}
th{color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.badge{white-space:nowrap;font-weight:650}
.expected{color:var(--good)}.failed{color:var(--bad)}.upheld{color:var(--up)}
.refuted{color:var(--down)}.open,.absent{color:var(--open)}
article{background:var(--card);border:1px solid var(--rule);border-left:5px solid currentColor;border-radius:8px;\
padding:.9rem 1rem;margin:.8rem 0}
.inner{color:var(--ink)}
.tag{margin:0 0 .25rem;font-size:.93rem}
.tag code{color:var(--soft)}
.overview{display:grid;grid-template-columns:max-content 1fr;gap:.3rem .9rem;margin:1rem 0 1.4rem;align-items:center}
.overview .row{font-size:.93rem}
.cell{display:inline-block;width:1.55rem;height:1.55rem;line-height:1.55rem;text-align:center;margin:.09rem;\
border-radius:4px;border:1px solid currentColor;text-decoration:none;font-size:.8rem;font-weight:700}
a.cell{color:var(--tone)}
.cell.expected{--tone:var(--good)}.cell.failed{--tone:var(--paper);background:var(--bad)}.cell.upheld{--tone:var(--up)}
.cell.refuted{--tone:var(--down)}.cell.open,.cell.absent{--tone:var(--open)}
.cell.absent{border-style:dashed}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem .9rem;margin:.4rem 0;font-size:.93rem}
dt{color:var(--soft)}dd{margin:0}
ul{margin:.4rem 0;padding-left:1.2rem}
figure{margin:.9rem 0 .2rem;max-width:44rem}
figure svg{width:100%;height:auto;display:block}
figcaption{font-size:.9rem;color:var(--soft);margin-bottom:.3rem}
figcaption b{color:var(--ink)}
@media (max-width:40rem){body{padding:.7rem}.wide{display:none}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.35rem}\
article{padding:.7rem}}
@media print{article{break-inside:avoid}pre{max-height:none;white-space:pre-wrap}}
";
