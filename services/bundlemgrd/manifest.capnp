@0xf8a3b2c1d4e5f6a7;
# Manifest of a bundle (sheet 55, section 14.1). After a change: npx capnp-es services/bundlemgrd/manifest.capnp -ots (needs capnpc), rename the
# output to manifest.capnp.ts with its first line kept, and npx prettier --write it.

struct BundleManifest {
  schemaVersion @0 :UInt8 = 1;
  name @1 :Text;
  semver @2 :Text;
  abilities @3 :List(Text);
  capabilities @4 :List(Text);
  minSdk @5 :Text;
  publisher @6 :Data;
  signature @7 :Data;
  payloadDigest @8 :Data;
  payloadSize @9 :UInt64;
}
