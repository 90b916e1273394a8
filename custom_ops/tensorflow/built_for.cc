// What this library was built for, in words: `awsdet doctor` says it.
extern "C" __attribute__((visibility("default"))) const char* awsdet_built_for() { return AWSDET_BUILT_FOR; }
