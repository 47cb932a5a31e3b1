/**
 * dsoftbusd's start (sheet 70, section 8.2, steps 1 to 8): waits for its slots and for netstackd's address, which alone
 * decides whether this machine is on its own or one of a pair.
 */
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { yieldForever, yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { CrossVm } from './cross-vm.ts';
import { FacadeRpc } from './facade-rpc.ts';
import { Facade } from './facade.ts';
import { DSOFTBUSD_CONTRACT, Slot } from './options.ts';
import type { DsoftbusdOptions } from './options.ts';
import { ERROR_TYPE, NAME, SoftbusProcess } from './process.ts';
import type { Stop } from './process.ts';
import { LOOPBACK, SingleVm } from './single-vm.ts';

/** Rounds of the wait for the own slots. */
const SLOT_ROUNDS = 10_000;
/** Tries for the local address, and yields between them. */
const ADDRESS_TRIES = 300;
const ADDRESS_YIELDS = 500;
/** A line says every so many tries that the wait goes on. */
const ADDRESS_LINE_EVERY = 50;
/** The one try whose failure is told. */
const ADDRESS_FAILURE_TOLD = 30;

/** dsoftbusd as a task program; the options' default is the contract. */
export function dsoftbusdProgram(options: DsoftbusdOptions = DSOFTBUSD_CONTRACT): Program {
  return serviceProgram(NAME, (sys) => run(sys, options));
}

function* run(sys: Sys, options: DsoftbusdOptions): Call<ServiceEnd> {
  const process = new SoftbusProcess(sys, options);
  yield* process.say('waiting for slots');
  yield* waitForSlots(sys);
  yield* process.configureSink();
  yield* process.say('entry');
  const rpc = new FacadeRpc(sys, process.inbox, 'single-vm');
  const ip = yield* localAddress(process, new Facade(rpc));
  yield* process.say('ip phase done');
  const stop: Stop = isPaired(ip) ? yield* new CrossVm(process, ip).run() : yield* new SingleVm(process, rpc).run();
  return stop === 'exit' ? ERROR_TYPE : yield* yieldForever(sys);
}

/** Until the inbox is wired. An empty slot is nothing a poll can wait for. */
function* waitForSlots(sys: Sys): Call<void> {
  const lap = new Lap(SLOT_ROUNDS);
  while (lap.count < lap.limit) {
    yield sys.lap(lap);
    const clone = yield sys.capClone(Slot.INBOX_SEND);
    if (clone >= 0) {
      yield sys.capClose(clone);
      return;
    }
    yield sys.yieldCpu();
  }
}

function* localAddress(process: SoftbusProcess, net: Facade): Call<Ipv4> {
  yield* process.say('waiting for local ip');
  for (let i = 0; i < ADDRESS_TRIES; i++) {
    const own = yield* net.localAddress();
    if (own?.ok === true) {
      yield* process.say('local ip ok');
      return own.value;
    }
    if (i === ADDRESS_FAILURE_TOLD) yield* process.say(own === null ? 'local ip rpc fail' : 'local ip rsp bad');
    if (i > 0 && i % ADDRESS_LINE_EVERY === 0) yield* process.say('local ip wait');
    yield* yields(process.sys, ADDRESS_YIELDS);
  }
  yield* process.say('local ip fallback');
  return LOOPBACK;
}

/** 10.42.x.x: the link between two machines. */
function isPaired(ip: Ipv4): boolean {
  return ip >>> 16 === 0x0a2a;
}
