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
h2{font-size:1.35rem;margin:2.4rem 0 .6rem;text-transform:capitalize}
h3{font-size:1.08rem;margin:0 0 .3rem;line-height:1.35}
a{color:inherit}
.soft{color:var(--soft);font-size:.9rem}
.lead{font-size:1.1rem;margin:.4rem 0}
code,pre{font:.86rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--paper);border:1px solid var(--rule);border-radius:6px;padding:.7rem;overflow-x:auto;\
white-space:pre;overflow-wrap:normal;max-height:28rem;margin:.5rem 0 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.38rem .5rem;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.badge{white-space:nowrap;font-weight:650}
.expected{color:var(--good)}.failed{color:var(--bad)}.upheld{color:var(--up)}
.refuted{color:var(--down)}.open,.absent{color:var(--open)}
article{background:var(--card);border:1px solid var(--rule);border-left:5px solid currentColor;border-radius:8px;\
padding:.9rem 1rem;margin:.8rem 0}
article>*{color:var(--ink)}
article .badge{color:inherit}
.inner{color:var(--ink)}
.statement{margin:.3rem 0 .5rem}
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
