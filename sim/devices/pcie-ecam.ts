/**
 * PCIe configuration space (sheet 05, section 2): the host bridge 00:00.0 answers with its identity, every other function
 * is absent and reads all ones. No other register of the bridge is modelled.
 */
import type { AccessRule, BusDevice } from '../bus.ts';
import type { Trace } from '../trace.ts';

/** Device 0008, vendor 1B36. */
const HOST_BRIDGE_ID = 0x0008_1b36;
/** Bytes of configuration space per function. */
const FUNCTION_SIZE = 0x1000;

/** The ECAM window. */
export class PcieEcam implements BusDevice {
  readonly name = 'pcie-ecam';
  readonly access: AccessRule = { widths: [1, 2, 4, 8] };
  readonly #trace: Trace;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  read(offset: number, width: 1 | 2 | 4): number {
    const ones = 0xffff_ffff >>> (32 - 8 * width);
    if (offset >= FUNCTION_SIZE) return ones;
    if (offset < 4) return ((HOST_BRIDGE_ID >>> (8 * offset)) & ones) >>> 0;
    this.#unknown(offset, false, 0);
    return 0;
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    if (offset < FUNCTION_SIZE) this.#unknown(offset, true, value);
  }

  #unknown(offset: number, write: boolean, value: number): void {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
  }
}
