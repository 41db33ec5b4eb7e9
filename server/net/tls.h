// What TLS connections share: trust, and sessions to resume.
#pragma once

#include <openssl/ssl.h>

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/failure.h"
#include "model/request.h"

namespace fetchd::server {

// Frees OpenSSL's objects.
struct SslDeleter {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_SESSION* p) const { SSL_SESSION_free(p); }
};
using SslCtxPtr = std::unique_ptr<SSL_CTX, SslDeleter>;
using SslPtr = std::unique_ptr<SSL, SslDeleter>;
using SslSessionPtr = std::unique_ptr<SSL_SESSION, SslDeleter>;

// TLS sessions by origin, for resumption. A TLS 1.3 ticket is used once as long as there is another one: RFC 8446
// appendix C.4 asks for that lest connections be linked to each other, which matters little between services, while a
// full handshake costs both sides dear; so the last ticket is offered until a new one comes. A TLS 1.2 session may be
// used again. Belongs to one engine thread.
class TlsSessionCache {
 public:
  // Of how many origins; the least recently used one goes first.
  explicit TlsSessionCache(size_t max_origins) : max_origins_(max_origins) {}

  // A session to resume, or null; the caller's alone. `key` is the origin.
  SslSessionPtr Take(const std::string& key);
  void Put(const std::string& key, SslSessionPtr session);
  // A handshake that offered one of its sessions failed: the next one begins without.
  void Forget(const std::string& key);
  size_t origins() const { return entries_.size(); }

 private:
  // Servers send two tickets by default; connections opened side by side want one each.
  static constexpr size_t kMaxSessionsPerOrigin = 4;
  struct Entry {
    std::string key;
    std::vector<SslSessionPtr> sessions;  // the newest last; never empty
    // There is one, and it has been taken.
    bool last_is_used = false;
  };
  size_t max_origins_;
  std::list<Entry> entries_;  // most recently used first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
};

// What we trust and how we talk: TLS 1.2 or later, certificates verified, host name or address checked, ALPN.
// Nothing of it can be turned off. Shared by all engine threads; immutable.
class TlsContext {
 public:
  struct Options {
    // Trust the system's certificate authorities (OpenSSL's default locations).
    bool use_system_cas = true;
    // A PEM bundle of further authorities. Empty: none.
    std::string ca_file;
  };

  // InvalidArgument if `ca_file` cannot be read or has no certificate.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Create(const Options& options);

  // A client connection to be, that accepts only a certificate for `host` (a name or an address; SNI only for a name),
  // and offers `version` by ALPN (RFC 7301). Null if OpenSSL is out of memory.
  SslPtr NewConnection(const std::string& host, HttpVersion version) const;

  // Makes new sessions of `ssl` go to `sink`, which outlives it or is detached by null. Called by TlsTransport.
  struct SessionSink {
    TlsSessionCache* cache;
    std::string key;
  };
  static void SetSessionSink(SSL* ssl, SessionSink* sink);

 private:
  explicit TlsContext(SslCtxPtr ctx) : ctx_(std::move(ctx)) {}
  SslCtxPtr ctx_;
};

}  // namespace fetchd::server
