import { describe, expect, it } from 'vitest';
import {
  formatIpv4,
  formatMac,
  ipv4,
  isGroupMac,
  isMulticast,
  MAC_BROADCAST,
  macOf,
  multicastMac,
  prefixLength,
  prefixMask,
} from './address.ts';
import { userMac } from './user-addresses.ts';

describe('addresses', () => {
  it('print as people write them', () => {
    expect(formatIpv4(ipv4(10, 0, 2, 15))).toBe('10.0.2.15');
    expect(formatIpv4(ipv4(255, 255, 255, 255))).toBe('255.255.255.255');
    expect(formatMac(macOf([0x52, 0x54, 0, 0x12, 0x34, 0x56]))).toBe('52:54:00:12:34:56');
    expect(formatMac(userMac(ipv4(10, 0, 2, 3)))).toBe('52:55:0a:00:02:03');
  });

  it('groups (sheet 70, section 3: 239.42.0.1 -> 01:00:5e:2a:00:01)', () => {
    expect(formatMac(multicastMac(ipv4(239, 42, 0, 1)))).toBe('01:00:5e:2a:00:01');
    expect(formatMac(multicastMac(ipv4(224, 170, 1, 2)))).toBe('01:00:5e:2a:01:02');
    expect([ipv4(239, 42, 0, 1), ipv4(10, 0, 2, 2), ipv4(255, 255, 255, 255)].map(isMulticast)).toEqual([
      true,
      false,
      false,
    ]);
    expect(isGroupMac(MAC_BROADCAST)).toBe(true);
    expect(isGroupMac(multicastMac(ipv4(239, 42, 0, 1)))).toBe(true);
    expect(isGroupMac(macOf([0x52, 0x55, 0x0a, 0, 2, 2]))).toBe(false);
  });

  it('masks and prefixes', () => {
    expect([0, 1, 24, 31, 32].map((length) => formatIpv4(prefixMask(length)))).toEqual([
      '0.0.0.0',
      '128.0.0.0',
      '255.255.255.0',
      '255.255.255.254',
      '255.255.255.255',
    ]);
    for (let length = 0; length <= 32; length += 1) expect(prefixLength(prefixMask(length))).toBe(length);
    expect(prefixLength(ipv4(255, 0, 255, 0))).toBeNull();
    expect(prefixLength(ipv4(0, 0, 0, 1))).toBeNull();
  });
});
