// Certificates made on the spot.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace fetchd::server {

struct Certificate {
  std::string pem;
  std::string key_pem;
};

// A certificate authority with its own key (P-256), for one test.
class TestAuthority {
 public:
  explicit TestAuthority(const char* name = "fetchd test authority") : key_(EVP_EC_gen("P-256")) {
    certificate_.reset(Make(key_.get(), name, "", -3600, 3600, true));
  }

  // A server certificate. `names` as OpenSSL writes subject alternative names: "DNS:example.com,IP:127.0.0.1". Valid
  // from and until so many seconds from now.
  Certificate Issue(const std::string& names, long from = -3600, long until = 3600) const {
    Key key(EVP_EC_gen("P-256"));
    X509Ptr certificate(Make(key.get(), "server", names, from, until, false));
    return {ToPem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate.get()); }), KeyPem(key.get())};
  }

  std::string pem() const {
    return ToPem([this](BIO* bio) { PEM_write_bio_X509(bio, certificate_.get()); });
  }

 private:
  struct Deleter {
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(X509* p) const { X509_free(p); }
    void operator()(BIO* p) const { BIO_free_all(p); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Deleter>;
  using X509Ptr = std::unique_ptr<X509, Deleter>;

  X509* Make(EVP_PKEY* key, const char* name, const std::string& alternatives, long from, long until, bool ca) const {
    static long serial = 0;
    X509* x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), until);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    X509* issuer = ca ? x : certificate_.get();
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, nullptr, nullptr, 0);
    auto add = [&](int nid, const std::string& value) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
      if (extension == nullptr) std::abort();
      X509_add_ext(x, extension, -1);
      X509_EXTENSION_free(extension);
    };
    add(NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (!alternatives.empty()) add(NID_subject_alt_name, alternatives);
    X509_sign(x, key_.get(), EVP_sha256());
    return x;
  }

  template <typename Writer>
  static std::string ToPem(Writer write) {
    std::unique_ptr<BIO, Deleter> bio(BIO_new(BIO_s_mem()));
    write(bio.get());
    char* data = nullptr;
    long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }
  static std::string KeyPem(EVP_PKEY* key) {
    return ToPem([&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
  }

  Key key_;
  X509Ptr certificate_;
};

// A file with that content, gone with this object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    const char* folder = std::getenv("TMPDIR");
    path_ = std::string(folder != nullptr ? folder : "/tmp") + "/fetchd_test_XXXXXX";
    int fd = mkstemp(path_.data());
    if (fd < 0 || ::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) std::abort();
    ::close(fd);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace fetchd::server
