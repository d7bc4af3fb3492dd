// Formulas as HTML, by MathJax without a browser.  A line of JSON comes in for each page,
// [[tex, display], ...], and one goes out, { formulas, css }: their HTML, and its style sheet.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import process from "node:process";

const [folder, tex] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const MathJax = await require(`${folder}/node-main.js`).init({
  loader: {
    paths: { mathjax: folder },
    require,
    versionWarnings: false,
    load: [
      "input/tex-base",
      "[tex]/ams",
      "[tex]/color",
      "[tex]/newcommand",
      "[tex]/configmacros",
      "output/chtml",
      "adaptors/liteDOM",
      "a11y/assistive-mml",
    ],
  },
  tex: JSON.parse(tex),
  chtml: { fontURL: "FONTS" },
  startup: { typeset: false },
});
const { adaptor, output } = MathJax.startup;

for await (const line of createInterface({ input: process.stdin })) {
  output.clearCache(); // the style sheet has what this page uses
  const formulas = JSON.parse(line).map(([text, display]) =>
    adaptor.outerHTML(MathJax.tex2chtml(text, { display }))
  );
  const css = adaptor.textContent(MathJax.chtmlStylesheet());
  console.log(JSON.stringify({ formulas, css }));
}
