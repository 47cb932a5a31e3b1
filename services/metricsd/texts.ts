/**
 * Texts of metricsd's exports (sheet 40, sections 12.3 and 12.4): one line for the log, one record for the write-ahead
 * log, from the same event. Labels, sender, span id and trace id are not exported.
 */
import { redactAttrs } from './redact.ts';
import type { EndedSpan, HistogramState } from './registry.ts';

/** An event in both its forms, without line ends. */
export interface ExportTexts {
  readonly log: string;
  readonly record: string;
}

/** What stands for bytes that are not UTF-8. */
export const BINARY = '<bin>';

// A leading BOM is text and stays; TextDecoder would drop it unless told otherwise.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of `bytes`, or {@link BINARY}. Nothing is escaped. */
export function utf8(bytes: Uint8Array): string {
  return decodeUtf8(bytes) ?? BINARY;
}

/** Attribute text: line feeds and carriage returns become two characters each; with `redact` secrets are replaced. */
export function attrsText(bytes: Uint8Array, redact: boolean): string {
  const text = decodeUtf8(bytes);
  if (text === null) return BINARY;
  return (redact ? redactAttrs(text) : text).replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}

function metricTexts(rest: string): ExportTexts {
  return { log: `metrics snapshot ${rest}`, record: `metric ${rest}` };
}

/** A counter after an increment. */
export function counterTexts(name: Uint8Array, value: bigint): ExportTexts {
  return metricTexts(`counter name=${utf8(name)} value=${String(value)}`);
}

/** A gauge after it was set. */
export function gaugeTexts(name: Uint8Array, value: bigint): ExportTexts {
  return metricTexts(`gauge name=${utf8(name)} value=${String(value)}`);
}

/** A histogram after an observation. */
export function histogramTexts(name: Uint8Array, state: HistogramState): ExportTexts {
  return metricTexts(`histogram name=${utf8(name)} count=${String(state.count)} sum=${String(state.sum)}`);
}

/** A span that has ended. */
export function spanTexts(ended: EndedSpan, redact: boolean): ExportTexts {
  const record =
    `span end name=${utf8(ended.span.name)} parent_span_id=${String(ended.span.parentSpanId)}` +
    ` duration_ns=${String(ended.durationNs)} status=${String(ended.status)}` +
    ` start_attrs=${attrsText(ended.span.startAttrs, redact)} end_attrs=${attrsText(ended.endAttrs, redact)}`;
  return { log: `tracing ${record}`, record };
}
