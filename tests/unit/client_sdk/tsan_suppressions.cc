// Debian's gRPC and OpenSSL are not instrumented: memory they hand from one of their threads to another looks like a
// race to TSan, and their frames often lack the caller. Only for this binary, where no OpenSSL code of ours runs.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libgpr.so\n"
         "race:grpc::internal::CallOpClientRecvStatus::FinishOp\n"
         "race:libssl.so\n"
         "race:libcrypto.so\n";
}
