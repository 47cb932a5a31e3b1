/** The command line (README). Parses arguments, prints, sets the exit code: 0 passed, 1 failed, 2 usage, 70 internal. */
import { Command, Option } from 'commander';

import { ExitCode, failureOf } from './errors.ts';
import { ladderCommand, quirksCommand } from './info-commands.ts';
import type { InfoOptions } from './info-commands.ts';
import type { ColorMode } from './output.ts';
import { DEFAULT_SCENARIO } from './resources.ts';
import { runCommand } from './run-command.ts';
import type { RunOptions } from './run-command.ts';

declare const NEXUS_SIM_VERSION: string;
const VERSION = typeof NEXUS_SIM_VERSION === 'string' ? NEXUS_SIM_VERSION : '0.0.0-source';

const collect = (word: string, words: readonly string[] = []): readonly string[] => [...words, word];

function commandLine(): Command {
  const program = new Command('nexus-sim')
    .description('Deterministic full-system simulator of the Nexus OS.')
    .version(VERSION, '--version', 'print the version')
    .addOption(
      new Option('--color <when>', 'colour on a terminal').choices(['auto', 'always', 'never']).default('auto'),
    )
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'nexus-sim: ')),
    })
    .addHelpText(
      'after',
      `
Examples:
  $ nexus-sim run                                                    boot the default scenario, exit 0 when its ladder is complete
  $ nexus-sim run --until-marker "SELFTEST: metrics counters ok"     stop right after that line
  $ nexus-sim run observability --without logd --summary             see what one missing service costs
  $ nexus-sim ladder --variant default                               list the markers of a ladder
  $ nexus-sim quirks                                                 where the reference differs from the contract

Exit codes: 0 passed, 1 verdict failed, 2 bad usage or input, 70 internal error.`,
    );
  program
    .command('run')
    .description('Boot a scenario and judge its UART log by its ladder. UART text goes to stdout, verdicts to stderr.')
    .argument('[scenario]', 'name of a scenario, or path of a .toml file', DEFAULT_SCENARIO)
    .option('--until-marker <text>', 'stop after the first line with this text and judge by it (1: the stop set)')
    .option('--phase <name>', 'stop when the ladder is complete up to the end of this phase')
    .option('--seed <n>', 'seed of every stream of chance')
    .option('--smp <n>', 'number of harts, 1 to 4')
    .addOption(
      new Option(
        '--variant <name>',
        'judge by a variant of the ladder (smp: with two harts; os2vm: two linked machines)',
      ).choices(['smp', 'dhcp', 'dhcp-strict', 'dsoftbus', 'os2vm']),
    )
    .option('--disk <file>', 'disk image, created sparse (64 MiB) where there is none; default: in memory')
    .option('--uart-log <file>', 'also write the UART bytes here')
    .option('--trace <file>', 'write the event trace as JSON lines (docs/trace.md)')
    .option('--pcap <file>', 'write what the network card sent and received, for Wireshark and tcpdump')
    .option('--report <file>', 'write the outcome as JSON')
    .option('--max-virtual-time <d>', 'bound of virtual time, such as 30s')
    .option('--quirks <names>', 'none (the contract), reference, or names from "nexus-sim quirks"')
    .option('--without <service>', 'leave a service out of the image (repeatable)', collect)
    .option('--deny <subject:capability>', 'take a capability from a policy subject (repeatable)', collect)
    .option('--allow <subject:capability>', 'give a capability to a policy subject (repeatable)', collect)
    .option('--fault <kind:key=value,...>', 'inject a fault, see docs/faults.md (repeatable)', collect)
    .option('--firmware-banner', "print the firmware's banner before the kernel")
    .option('--no-poll-skipping', 'simulate every polling round (same bytes, slower)')
    .option('--summary', 'print events and counters at the end')
    .addHelpText(
      'after',
      `
Examples:
  $ nexus-sim run observability --phase metrics
  $ nexus-sim run --quirks reference --uart-log uart.log
  $ nexus-sim run --pcap net.pcap --until-marker "SELFTEST: net ping ok"     then: tcpdump -r net.pcap
  $ nexus-sim run --disk blk.img && nexus-sim run --disk blk.img     boot twice on one disk
  $ nexus-sim run os2vm --until-marker "B/dsoftbusd: remote proxy up" --pcap net.pcap     two machines: net-A.pcap, net-B.pcap
  $ nexus-sim run --deny metricsd:statefs.write                      take one marker's cause away`,
    )
    .action(async (scenario: string, options: RunOptions, command: Command) => {
      // commander sets the negatable option to true when it is absent; absent here means "as the scenario says".
      const given = command.getOptionValueSource('pollSkipping') === 'cli';
      const { pollSkipping, ...rest } = options;
      const merged: RunOptions = {
        ...rest,
        ...(given ? { pollSkipping: pollSkipping ?? true } : {}),
        color: colorOf(program),
      };
      process.exitCode = await runCommand(scenario, merged);
    });
  program
    .command('ladder')
    .description('Print a marker ladder.')
    .option('--variant <name>', 'which one', 'default')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  $ nexus-sim ladder --variant observability')
    .action((options: { readonly variant: string; readonly json?: boolean }) => {
      process.exitCode = ladderCommand(options.variant, infoOptions(options, program));
    });
  program
    .command('quirks')
    .description('Print the table of quirks: where the reference falls short of the contract.')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  $ nexus-sim run --quirks query-skips,lifetime-budget')
    .action((options: { readonly json?: boolean }) => {
      process.exitCode = quirksCommand(infoOptions(options, program));
    });
  return program;
}

function colorOf(program: Command): ColorMode {
  return program.opts<{ color: ColorMode }>().color;
}

function infoOptions(options: { readonly json?: boolean }, program: Command): InfoOptions {
  return {
    color: colorOf(program),
    ...(options.json === undefined ? {} : { json: options.json }),
  };
}

async function main(): Promise<void> {
  // A reader that has seen enough (head, grep -q) closes the pipe; that is no error of the run.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? ExitCode.PASSED);
    throw error;
  });
  try {
    await commandLine().parseAsync(process.argv);
  } catch (error) {
    const failure = failureOf(error, process.argv.slice(2));
    process.stderr.write(failure.text);
    process.exitCode = failure.code;
  }
}

void main();
