// Work beside the page, led by messages.

// A port to a program, the text of a worker that answers by messages: in a worker of its own, or,
// where the browser gives none, on the page behind a channel.
/** @type {(program: string) => { port: any, onPage: boolean, stop: () => void }} */
export function startWork(program) {
  const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  try {
    const worker = new Worker(address);
    return { port: worker, onPage: false, stop: () => worker.terminate() };
  } catch {
    const { port1, port2 } = new MessageChannel();
    new Function("globalThis", program)(port2);
    return { port: port1, onPage: true, stop: () => port1.close() };
  } finally {
    URL.revokeObjectURL(address);
  }
}
