// The presets of a figure: buttons that set its choices, and the sentence of the one that holds.
import { h, same, say } from "./dom.mjs";

/**
 * @type {(presets: any[][], opening: string, figure: {
 *   start: object, read: () => any, write: (changes: object) => void,
 * }) => { elements: any[], keepRoom: () => void, draw: (state: any) => void }}
 */
export function story(presets, opening, { start, read, write }) {
  // a preset takes back what others have changed, so that its sentence says what is seen
  const turned = new Set(presets.flatMap(([, changes]) => Object.keys(changes)));
  const first = Object.fromEntries([...turned].map((name) => [name, start[name]]));
  const told = [
    ...presets.map(([text, changes, sentence]) => ({
      text,
      changes: { ...first, ...changes },
      sentence,
    })),
    { text: "reset", changes: start, sentence: opening },
  ];
  let chosen = told.length - 1; // the last that was pressed
  let inForce = chosen;

  const buttons = told.map(({ text, changes }, i) =>
    h("button", {
      type: "button",
      onclick() {
        write(changes);
        chosen = inForce = i;
        draw(read());
      },
    }, text)
  );
  const row = h("div", { class: "dit-presets", role: "group", "aria-label": "presets" });
  row.append(...buttons);
  const line = h("p", { class: "dit-story", role: "status" }, opening);

  // Room for the longest of the sentences: the pictures stay where they are from one to the next
  function keepRoom() {
    const probe = h("p", { class: "dit-story dit-probe", "aria-hidden": "true" });
    line.after(probe);
    const heights = told.map(({ sentence }) => {
      say(probe, sentence);
      return probe.offsetHeight;
    });
    probe.remove();
    line.style.minHeight = `${Math.max(...heights)}px`;
  }

  function draw(state) {
    const holds = ({ changes }) =>
      Object.entries(changes).every(([name, value]) => same(state[name], value));
    const found = holds(told[inForce]) ? inForce : told.findIndex(holds);
    // whoever moves a slider through another's values is told of it there, and not beyond
    inForce = found < 0 ? chosen : found;
    say(line, told[inForce].sentence);
    buttons.forEach((button, i) => {
      const pressed = String(i === found);
      // to set what is set would cost the page a look at its styles
      if (button.ariaPressed !== pressed) button.ariaPressed = pressed;
    });
  }

  return { elements: [row, line], keepRoom, draw };
}
