#include "config/pem.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>

namespace fetchd::server {
namespace {

std::string TakeText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// A fresh key with a self-signed certificate.
struct Identity {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  ~Identity() { EVP_PKEY_free(key); }

  std::string Certificate() const {
    X509* certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    X509_free(certificate);
    return TakeText(bio);
  }
  std::string Key(const char* password = nullptr) const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, key, password == nullptr ? nullptr : EVP_aes_128_cbc(), password,
                                  password == nullptr ? 0 : 1, nullptr, nullptr);
    return TakeText(bio);
  }
};

bool Says(const absl::Status& status, const std::string& part) {
  return std::string(status.message()).find(part) != std::string::npos;
}

TEST(CheckCertificates, WantsAtLeastOneAndNoBrokenOne) {
  const std::string certificate = Identity().Certificate();
  EXPECT_TRUE(CheckCertificates(certificate).ok());
  EXPECT_TRUE(CheckCertificates("a comment\n" + certificate + certificate).ok());
  EXPECT_TRUE(Says(CheckCertificates(""), "has no certificate"));
  EXPECT_TRUE(Says(CheckCertificates("hello\n"), "has no certificate"));
  EXPECT_TRUE(Says(CheckCertificates(Identity().Key()), "has no certificate"));
  std::string broken = certificate;
  broken.replace(100, 8, "!!!!!!!!");
  EXPECT_TRUE(Says(CheckCertificates(certificate + broken), "broken certificate"));
}

TEST(CheckKeyPair, WantsTheKeyOfTheFirstCertificate) {
  const Identity one;
  const Identity two;
  EXPECT_TRUE(CheckKeyPair(one.Certificate(), one.Key()).ok());
  EXPECT_TRUE(CheckKeyPair(one.Certificate() + two.Certificate(), one.Key()).ok());
  EXPECT_TRUE(Says(CheckKeyPair(two.Certificate() + one.Certificate(), one.Key()), "is not the key"));
  EXPECT_TRUE(Says(CheckKeyPair(one.Certificate(), one.Certificate()), "no private key"));
  EXPECT_TRUE(Says(CheckKeyPair(one.Certificate(), one.Key("secret")), "without a password"));
}

}  // namespace
}  // namespace fetchd::server
