/**
 * Speed of the hottest path: IPC round trips between two tasks. A round trip is four syscalls that succeed (two blocking
 * sends, two blocking receives), two receives that block, and two switches.
 */
import { addTask, bareKernel, endpointCap, grant, newEndpoint } from '../kernel-model/testing.ts';

/** What one measurement found. */
export interface IpcFigures {
  /** Round trips executed. */
  readonly roundTrips: number;
  /** Host seconds they took. */
  readonly seconds: number;
  readonly perSecond: number;
  /** Virtual ns of one round trip. */
  readonly virtualNs: number;
}

/** Measures `roundTrips` round trips of `bytes`-byte frames after a warm-up of a tenth of them. */
export function measureRoundTrips(roundTrips = 1_000_000, bytes = 64): IpcFigures {
  const warmUp = Math.ceil(roundTrips / 10);
  const { kernel, clock } = bareKernel();
  const [request, reply] = [newEndpoint(kernel), newEndpoint(kernel)];
  let done = 0;
  const server = addTask(kernel, function* (sys) {
    for (;;) {
      yield sys.recvV2(0, 512);
      yield sys.send(1, sys.message.payload);
    }
  });
  const client = addTask(kernel, function* (sys) {
    const frame = new Uint8Array(bytes);
    for (;;) {
      yield sys.send(0, frame);
      yield sys.recv(1, 512);
      done += 1;
      if (done === warmUp || done === warmUp + roundTrips) kernel.requestStop();
    }
  });
  for (const task of [server, client]) {
    grant(task, 0, endpointCap(request));
    grant(task, 1, endpointCap(reply));
  }
  const limit = { untilNs: Infinity, maxSteps: Infinity };
  kernel.start();
  kernel.run(limit);
  const virtualStart = clock.now;
  const start = process.hrtime.bigint();
  kernel.run(limit);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return {
    roundTrips,
    seconds,
    perSecond: Math.round(roundTrips / seconds),
    virtualNs: (clock.now - virtualStart) / roundTrips,
  };
}
