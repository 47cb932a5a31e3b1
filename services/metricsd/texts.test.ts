import { describe, expect, it } from 'vitest';
import { REDACTED, SECRET_WORDS, isSecretKey, redactAttrs } from './redact.ts';
import { attrsText, counterTexts, gaugeTexts, histogramTexts, spanTexts, utf8 } from './texts.ts';
import { senderId } from './registry.ts';
import type { EndedSpan } from './registry.ts';
import { attrs, spanId, spanName, spanTime, traceId } from './wire.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function ended(change: {
  name?: Uint8Array;
  start?: Uint8Array;
  end?: Uint8Array;
  ns?: bigint;
  status?: number;
}): EndedSpan {
  return {
    span: {
      sender: senderId(1n),
      spanId: spanId(1n),
      traceId: traceId(2n),
      parentSpanId: spanId(0n),
      name: spanName(change.name ?? bytes('selftest.span'))!,
      startAttrs: attrs(change.start ?? bytes('phase=selftest\n'))!,
      startNs: spanTime(100n),
    },
    durationNs: change.ns ?? 80n,
    status: change.status ?? 0,
    endAttrs: attrs(change.end ?? bytes('result=ok\n'))!,
  };
}

describe('texts (sheet 40, 12.3 and 12.4)', () => {
  it('counter, gauge and histogram', () => {
    expect(counterTexts(bytes('selftest.counter'), 7n)).toEqual({
      log: 'metrics snapshot counter name=selftest.counter value=7',
      record: 'metric counter name=selftest.counter value=7',
    });
    expect(gaugeTexts(bytes('selftest.gauge'), -3n)).toEqual({
      log: 'metrics snapshot gauge name=selftest.gauge value=-3',
      record: 'metric gauge name=selftest.gauge value=-3',
    });
    expect(histogramTexts(bytes('selftest.hist'), { count: 2n, sum: 13000n, buckets: [] })).toEqual({
      log: 'metrics snapshot histogram name=selftest.hist count=2 sum=13000',
      record: 'metric histogram name=selftest.hist count=2 sum=13000',
    });
  });

  it('OBS-7: the executed span line, 127 bytes long', () => {
    const { log, record } = spanTexts(ended({}), true);
    expect(log).toBe(
      'tracing span end name=selftest.span parent_span_id=0 duration_ns=80 status=0 start_attrs=phase=selftest\\n end_attrs=result=ok\\n',
    );
    expect(log).toHaveLength(127);
    expect(`tracing ${record}`).toBe(log);
  });

  it('executed: bytes that are not UTF-8, CR and LF in attributes', () => {
    const span = ended({ ns: 0n, status: 255, start: Uint8Array.of(0xff), end: bytes('a\r\n') });
    expect(spanTexts(span, true).log).toMatch(/duration_ns=0 status=255 start_attrs=<bin> end_attrs=a\\r\\n$/);
  });

  it('names are raw: a LF stays, a leading BOM stays, invalid UTF-8 is <bin>', () => {
    expect(utf8(bytes('a\nb'))).toBe('a\nb');
    expect(utf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
    expect(attrsText(Uint8Array.of(0xef, 0xbb, 0xbf), false)).toBe('\ufeff');
    for (const bad of [
      [0xc0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe2, 0x82],
    ]) {
      expect(utf8(Uint8Array.from(bad))).toBe('<bin>');
    }
  });
});

describe('redaction', () => {
  it('OBS-18: every listed word makes a key secret, alone, in company and in any case', () => {
    for (const word of SECRET_WORDS) {
      for (const key of [word, `user.${word}`, `${word}-id`, `a_${word.toUpperCase()}_b`, ` ${word} `]) {
        expect([key, isSecretKey(key)]).toEqual([key, true]);
      }
    }
    expect(['private_key', 'x.api-key', 'API.KEY.id', 'ssh-Private_Key'].map(isSecretKey)).toEqual(Array(4).fill(true));
  });

  it('OBS-18: keys that only look alike stay', () => {
    const keys = ['tokens', 'key', 'private', 'key_private', 'api_x_key', 'sessions', 'secretary', 'result', ''];
    expect(keys.filter(isSecretKey)).toEqual([]);
  });

  it('OBS-18: replaces the value and nothing else, line by line', () => {
    expect(redactAttrs('a=1\nauth.token=abc=def\nb=2\n')).toBe('a=1\nauth.token=[redacted]\nb=2\n');
    expect(redactAttrs('password=hunter2')).toBe('password=[redacted]');
    expect(redactAttrs('token\nsay=token=x\n')).toBe('token\nsay=token=x\n');
    expect(redactAttrs('a=1\rcookie=c\rd=2\ne=3')).toBe('a=1\rcookie=[redacted]\ne=3');
    expect(redactAttrs('')).toBe('');
  });

  it('OBS-18: quirk no-redaction, both: the secret is in neither the log line nor the record; the reference shows it', () => {
    const span = ended({ start: bytes('user=u\nSession_Token=s3cr3t\n'), end: bytes('api_key=s3cr3t\r\nok=1\n') });
    const kept = spanTexts(span, true);
    expect(kept.log + kept.record).not.toContain('s3cr3t');
    expect(kept.log).toContain(
      `start_attrs=user=u\\nSession_Token=${REDACTED}\\n end_attrs=api_key=${REDACTED}\\nok=1\\n`,
    );
    const reference = spanTexts(span, false);
    expect(reference.log).toContain('Session_Token=s3cr3t\\n end_attrs=api_key=s3cr3t\\r\\nok=1\\n');
    expect(reference.record).toContain('s3cr3t');
  });
});
