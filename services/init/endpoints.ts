/**
 * The endpoints init creates, in creation order (sheet 20, section 4). The order fixes init's own slot numbers, which its
 * lines print; where an owner is not in the image, init owns the endpoint itself, so that the numbers stay those of the
 * sheet (design, decision 6).
 */

/** Names of the service endpoints of section 4, in order from init slot 0x26. */
export type EndpointName =
  | 'vfs_req'
  | 'vfs_rsp'
  | 'pkg_req'
  | 'pkg_rsp'
  | 'pol_req'
  | 'pol_rsp'
  | 'bnd_req'
  | 'bnd_rsp'
  | 'bnd_rsp_updated'
  | 'upd_req'
  | 'upd_rsp'
  | 'sam_req'
  | 'sam_rsp'
  | 'exe_req'
  | 'exe_rsp'
  | 'key_req'
  | 'key_rsp'
  | 'state_req'
  | 'state_rsp'
  | 'rng_req'
  | 'rng_rsp'
  | 'timed_req'
  | 'timed_rsp'
  | 'log_req'
  | 'log_rsp'
  | 'metrics_req'
  | 'metrics_rsp'
  | 'bnd_exe_req'
  | 'bnd_exe_rsp'
  | 'selftest_reply'
  | 'execd_reply'
  | 'dsoftbusd_reply'
  | 'dsoft_req'
  | 'dsoft_rsp'
  | 'net_req'
  | 'net_rsp'
  | 'net_selftest_rsp'
  | 'net_dsoft_rsp'
  | 'packagefsd_reply'
  | 'pol_ctl_route_req'
  | 'pol_ctl_exec_req'
  | 'pol_ctl_route_rsp'
  | 'pol_ctl_exec_rsp';

/** One endpoint to create. `owner` null = init. */
export interface EndpointSpec {
  readonly name: EndpointName;
  readonly owner: string | null;
  readonly depth: number;
}

/** Default depth of request, response and reply endpoints; logd's request endpoint is deeper. */
export const ENDPOINT_DEPTH = 8;
export const LOGD_DEPTH = 64;

/** Section 4's table from init slot 0x26 to 0x4e. */
export const SERVICE_ENDPOINTS: readonly EndpointSpec[] = [
  ep('vfs_req', 'vfsd'),
  ep('vfs_rsp', 'selftest-client'),
  ep('pkg_req', 'packagefsd'),
  ep('pkg_rsp', 'selftest-client'),
  ep('pol_req', 'policyd'),
  ep('pol_rsp', 'selftest-client'),
  ep('bnd_req', 'bundlemgrd'),
  ep('bnd_rsp', 'selftest-client'),
  ep('bnd_rsp_updated', 'updated'),
  ep('upd_req', 'updated'),
  ep('upd_rsp', 'selftest-client'),
  ep('sam_req', 'samgrd'),
  ep('sam_rsp', 'selftest-client'),
  ep('exe_req', 'execd'),
  ep('exe_rsp', 'selftest-client'),
  ep('key_req', null),
  ep('key_rsp', 'selftest-client'),
  ep('state_req', null),
  ep('state_rsp', 'selftest-client'),
  ep('rng_req', 'rngd'),
  ep('rng_rsp', 'selftest-client'),
  ep('timed_req', 'timed'),
  ep('timed_rsp', 'selftest-client'),
  ep('log_req', null, LOGD_DEPTH),
  ep('log_rsp', 'selftest-client'),
  ep('metrics_req', 'metricsd'),
  ep('metrics_rsp', 'selftest-client'),
  ep('bnd_exe_req', 'execd'),
  ep('bnd_exe_rsp', 'bundlemgrd'),
  ep('selftest_reply', 'selftest-client'),
  ep('execd_reply', 'execd'),
  ep('dsoftbusd_reply', 'dsoftbusd'),
  ep('dsoft_req', 'dsoftbusd'),
  ep('dsoft_rsp', 'selftest-client'),
  ep('net_req', 'netstackd'),
  ep('net_rsp', 'netstackd'),
  ep('net_selftest_rsp', 'selftest-client'),
  ep('net_dsoft_rsp', 'dsoftbusd'),
  ep('packagefsd_reply', 'packagefsd'),
  ep('pol_ctl_route_req', 'policyd'),
  ep('pol_ctl_exec_req', 'policyd'),
];

function ep(name: EndpointName, owner: string | null, depth: number = ENDPOINT_DEPTH): EndpointSpec {
  return { name, owner, depth };
}
