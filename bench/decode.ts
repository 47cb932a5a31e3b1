/** Frames decoded per second by the two codecs that see the most traffic. */
import * as logd from '../services/logd/wire.ts';
import * as metricsd from '../services/metricsd/wire.ts';

const LOG_TEXT = 'metrics snapshot counter name=selftest.counter value=3';

function metricsFrame(): Uint8Array {
  const name = metricsd.metricName(new TextEncoder().encode('selftest.counter'));
  const labels = metricsd.labels(new TextEncoder().encode('svc=selftest-client\n'));
  if (name === null || labels === null) throw new Error('bad frame');
  return metricsd.encodeRequest({
    op: metricsd.OP_COUNTER_INC,
    nonce: metricsd.nonce(7),
    name,
    labels,
    value: metricsd.amount(3n),
  });
}

/** Decodes `frames` frames, half of them logd's and half metricsd's. */
export function decodeRate(frames: number): number {
  const encoder = new TextEncoder();
  const log = logd.encodeAppendV1(logd.LogLevel.INFO, encoder.encode('metricsd'), encoder.encode(LOG_TEXT));
  const metric = metricsFrame();
  let good = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < frames; i += 2) {
    if (logd.decodeRequest(log).ok) good += 1;
    if (metricsd.decodeRequest(metric).ok) good += 1;
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (good < frames) throw new Error('frames did not decode');
  return frames / seconds;
}
