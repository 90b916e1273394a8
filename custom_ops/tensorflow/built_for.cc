// The devices that this library was built for, as text for `awsdet doctor`.
extern "C" __attribute__((visibility("default"))) const char* awsdet_built_for() { return AWSDET_BUILT_FOR; }
