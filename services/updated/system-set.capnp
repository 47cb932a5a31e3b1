@0xd8b8c2a7f2cc1a50;
# Index of a system set (sheet 55, section 5.2). After a change: npx capnp-es services/updated/system-set.capnp -ots (needs capnpc), rename the
# output to system-set.capnp.ts with its first line kept, and npx prettier --write it.

struct SystemSetIndex {
  schemaVersion @0 :UInt8 = 1;
  systemVersion @1 :Text;
  publisher @2 :Data;
  timestampUnixMs @3 :UInt64;
  bundles @4 :List(BundleEntry);
}

struct BundleEntry {
  name @0 :Text;
  version @1 :Text;
  manifestSha256 @2 :Data;
  payloadSha256 @3 :Data;
  payloadSize @4 :UInt64;
}
