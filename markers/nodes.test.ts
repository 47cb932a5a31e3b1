import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { NodesMatcher, parseNodesLadder } from './nodes.ts';
import type { NodesLadder } from './nodes.ts';

const { ladderText } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

function os2vm(): NodesLadder {
  const loaded = parseNodesLadder(ladderText('os2vm') ?? '', 'ladder-os2vm.toml');
  if (!loaded.ok) throw new Error(loaded.error);
  return loaded.value;
}

const DISCOVERY = 'dsoftbusd: discovery cross-vm up';

describe('the two-VM ladder', () => {
  it('sheet 85, section 12.2: a good run', () => {
    const matcher = new NodesMatcher(os2vm());
    matcher.line('A', DISCOVERY);
    expect(matcher.poll()).toMatchObject({ state: 'running', step: 0, lacking: ['B'] });
    matcher.line('B', DISCOVERY);
    matcher.line('A', 'dsoftbusd: cross-vm session ok node-b');
    matcher.line('B', 'dsoftbusd: cross-vm session ok node-a');
    expect(matcher.poll()).toMatchObject({ state: 'running', step: 2, lacking: ['A'] });
    matcher.line('A', 'SELFTEST: remote resolve ok');
    matcher.line('A', 'SELFTEST: remote query ok');
    matcher.line('A', 'SELFTEST: end');
    expect(matcher.poll()).toEqual({
      name: 'os2vm',
      state: 'passed',
      seen: 6,
      required: 6,
      missing: [],
      step: 4,
      marker: undefined,
      lacking: [],
      messages: [
        '[info] Waiting for cross-VM discovery markers...',
        '[info] Waiting for cross-VM session markers...',
        '[info] Waiting for remote proxy markers on Node A...',
        '[info] All required markers observed. Stopping VMs.',
      ],
    });
  });

  it('a node that ends without the line fails, A first', () => {
    const matcher = new NodesMatcher(os2vm());
    matcher.line('B', 'SELFTEST: end');
    matcher.line('A', 'SELFTEST: end');
    expect(matcher.poll().messages.at(-1)).toBe('[error] Node A ended before discovery marker');
  });

  it('a node that has the line may end', () => {
    const matcher = new NodesMatcher(os2vm());
    matcher.line('B', DISCOVERY);
    matcher.line('B', 'SELFTEST: end');
    expect(matcher.poll().state).toBe('running');
    matcher.line('A', DISCOVERY);
    expect(matcher.poll()).toMatchObject({ state: 'failed', step: 1, lacking: ['A', 'B'] });
    expect(matcher.poll().messages.at(-1)).toBe('[error] Node B ended before session marker');
  });

  it('the end of A fails the remote steps with their one message', () => {
    const matcher = new NodesMatcher(os2vm());
    for (const node of ['A', 'B']) {
      matcher.line(node, DISCOVERY);
      matcher.line(node, 'dsoftbusd: cross-vm session ok');
    }
    matcher.line('A', 'SELFTEST: remote resolve ok');
    matcher.line('A', 'SELFTEST: end');
    expect(matcher.poll().messages.at(-1)).toBe('[error] Node A missing remote query marker');
  });

  it.each([
    [0, '[error] Missing discovery marker (timeout)'],
    [1, '[error] Missing session marker (timeout)'],
    [2, '[error] Node A missing remote resolve marker'],
  ])('time runs out in step %i', (steps, message) => {
    const matcher = new NodesMatcher(os2vm());
    os2vm()
      .steps.slice(0, steps)
      .forEach((step) => step.on.forEach((node) => matcher.line(node, step.marker)));
    const verdict = matcher.timeout();
    expect(verdict).toMatchObject({ state: 'failed', step: steps });
    expect(verdict.messages.at(-1)).toBe(message);
    expect(matcher.timeout()).toEqual(verdict);
  });

  it('lines of other nodes do not count', () => {
    const matcher = new NodesMatcher(os2vm());
    matcher.line('C', 'SELFTEST: end');
    expect(matcher.poll().state).toBe('running');
  });
});

describe('loader errors', () => {
  const text = ladderText('os2vm') ?? '';
  it.each([
    [
      'no such node',
      text.replace('on = ["A"]', 'on = ["C"]'),
      "x.toml: steps[2].on[0]: expected one of A, B, found 'C'",
    ],
    ['no steps', text.slice(0, text.indexOf('[[steps]]')), 'x.toml: steps: expected 1 to 64 steps'],
    ['no nodes', text.replace('nodes = ["A", "B"]', 'nodes = []'), 'x.toml: nodes: expected 1 to 8 nodes'],
    [
      'typo',
      text.replace('done =', 'dnoe ='),
      'x.toml: dnoe: unknown key; expected one of name, nodes, terminal, done, steps',
    ],
  ])('%s', (_, bad, error) => {
    expect(parseNodesLadder(bad, 'x.toml')).toEqual({ ok: false, error });
  });
});
