// The program of a training worker: linked into one text, it starts from a Blob URL.
import { serve } from "./trainer.mjs";

serve(/** @type {any} */ (globalThis));
