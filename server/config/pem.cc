#include "config/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

namespace fetchd::server {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

BioPtr Open(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// Instead of asking at the terminal for the password of an encrypted key.
int NoPassword(char*, int, int, void*) { return 0; }

// The first certificate, whose absence is an error.
absl::Status ReadCertificates(const std::string& pem, CertificatePtr& first) {
  const BioPtr bio = Open(pem);
  ERR_clear_error();
  while (CertificatePtr certificate{PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)}) {
    if (first == nullptr) first = std::move(certificate);
  }
  // The regular end is that no further "BEGIN" line is found.
  const bool broken = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (broken) return absl::InvalidArgumentError("has a broken certificate");
  if (first == nullptr) return absl::InvalidArgumentError("has no certificate (PEM, \"BEGIN CERTIFICATE\")");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCertificates(const std::string& pem) {
  CertificatePtr first;
  return ReadCertificates(pem, first);
}

absl::Status CheckKeyPair(const std::string& cert_pem, const std::string& key_pem) {
  CertificatePtr certificate;
  if (absl::Status status = ReadCertificates(cert_pem, certificate); !status.ok()) return status;
  const BioPtr bio = Open(key_pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  const bool matches = key != nullptr && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("has no private key without a password (PEM)");
  if (!matches) return absl::InvalidArgumentError("is not the key of the first certificate in tls.cert_file");
  return absl::OkStatus();
}

}  // namespace fetchd::server
