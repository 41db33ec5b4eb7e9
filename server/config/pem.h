// Whether PEM files hold what they should, so that a mistake is told at the start and not by the first handshake.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace fetchd::server {

// `pem` has at least one certificate, and nothing that looks like one is broken.
absl::Status CheckCertificates(const std::string& pem);
// `cert_pem` begins with the certificate of the private key in `key_pem`, which has no password.
absl::Status CheckKeyPair(const std::string& cert_pem, const std::string& key_pem);

}  // namespace fetchd::server
