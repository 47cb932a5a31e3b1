/** Drives a run in slices, so that Ctrl-C, files and the progress line work while it goes on. */
import { Progress } from './output.ts';

/** Turns executed before the host gets the thread back: a few milliseconds. */
const SLICE_TURNS = 20_000;

/** A run as its driver sees it. */
export interface Sliced {
  /** True: the run is over. */
  slice(turns: number): boolean;
  interrupt(): void;
}

/** Slices until the run is over or somebody interrupts it. `flush` writes what came since; `progress` says where the run is. */
export async function drive(run: Sliced, flush: () => void, progress: () => string): Promise<void> {
  const line = new Progress(process.stderr);
  const signal = { seen: false };
  const onSignal = (): void => {
    signal.seen = true;
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    for (;;) {
      const over = run.slice(SLICE_TURNS);
      if (signal.seen && !over) run.interrupt();
      line.clear();
      flush();
      if (over || signal.seen) return;
      line.update(progress);
      await new Promise((next) => setImmediate(next));
    }
  } finally {
    line.clear();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}
