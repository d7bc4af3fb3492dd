// What figures are made of.  Nothing here knows a particular figure.
export { button, menu, slider } from "./ui/controls.mjs";
export { format, h, percent, reveal, say } from "./ui/dom.mjs";
export { figure } from "./ui/figure.mjs";
export { weightsMenu, weightsOf, whose } from "./ui/handed.mjs";
export { keep } from "./ui/kept.mjs";
export {
  bars,
  cells,
  digit,
  frame,
  grid,
  map,
  panel,
  plot,
  prepare,
  spread,
  write,
} from "./ui/pictures.mjs";
export { legend, rows } from "./ui/text.mjs";
export { lookMenus, patches, patchOfToken, tokenRows } from "./ui/tokens.mjs";
export { node, svg, tap, valve } from "./ui/wires.mjs";
export { startWork } from "./ui/work.mjs";
