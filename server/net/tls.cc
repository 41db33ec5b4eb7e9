#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/status/status.h"
#include "base/text.h"
#include "model/ip_address.h"

namespace fetchd::server {
namespace {

// The slot in an SSL object that holds its SessionSink.
int SinkIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// OpenSSL's reason for what just failed.
std::string LastReason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

int OnNewSession(SSL* ssl, SSL_SESSION* session) {
  auto* sink = static_cast<TlsContext::SessionSink*>(SSL_get_ex_data(ssl, SinkIndex()));
  if (sink == nullptr || SSL_SESSION_is_resumable(session) == 0) return 0;
  // A copy: OpenSSL spoils the session of a connection that ends without a close_notify, as many origins end theirs.
  // Whether a response was whole is known from its framing, and that the origin is who it says from the handshake.
  if (SslSessionPtr copy(SSL_SESSION_dup(session)); copy != nullptr) sink->cache->Put(sink->key, std::move(copy));
  return 0;  // the reference stays OpenSSL's
}

}  // namespace

SslSessionPtr TlsSessionCache::Take(const std::string& key) {
  auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  Entry& entry = *it->second;
  entries_.splice(entries_.begin(), entries_, it->second);
  const bool once = SSL_SESSION_get_protocol_version(entry.sessions.back().get()) >= TLS1_3_VERSION;
  if (!once || entry.sessions.size() == 1) {
    entry.last_is_used = once;
    return SslSessionPtr(SSL_SESSION_dup(entry.sessions.back().get()));
  }
  SslSessionPtr session = std::move(entry.sessions.back());
  entry.sessions.pop_back();
  return session;
}

void TlsSessionCache::Forget(const std::string& key) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return;
  entries_.erase(it->second);
  by_key_.erase(it);
}

void TlsSessionCache::Put(const std::string& key, SslSessionPtr session) {
  if (max_origins_ == 0) return;
  auto it = by_key_.find(key);
  if (it != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, it->second);
  } else {
    if (entries_.size() >= max_origins_) {
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({.key = key, .sessions = {}});
    by_key_[key] = entries_.begin();
  }
  Entry& entry = entries_.front();
  std::vector<SslSessionPtr>& sessions = entry.sessions;
  if (std::exchange(entry.last_is_used, false)) sessions.clear();
  if (sessions.size() >= kMaxSessionsPerOrigin) sessions.erase(sessions.begin());
  sessions.push_back(std::move(session));
}

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Create(const Options& options) {
  ERR_clear_error();
  SslCtxPtr ctx(SSL_CTX_new(TLS_client_method()));
  if (ctx == nullptr) return absl::InternalError("OpenSSL cannot start: " + LastReason());
  SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, nullptr);
  // A record that was taken in part may be offered again from another place. Idle connections give their buffers back.
  SSL_CTX_set_mode(ctx.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Whole records come in by one recv, not header and body by one each.
  SSL_CTX_set_read_ahead(ctx.get(), 1);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx.get(), OnNewSession);
  if (options.use_system_cas && SSL_CTX_set_default_verify_paths(ctx.get()) != 1) {
    return absl::InternalError("OpenSSL cannot load the system's certificate authorities: " + LastReason());
  }
  if (!options.ca_file.empty() && SSL_CTX_load_verify_file(ctx.get(), options.ca_file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        Concat("cannot read certificates in PEM from '", options.ca_file, "': ", LastReason()));
  }
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(ctx)));
}

SslPtr TlsContext::NewConnection(const std::string& host, HttpVersion version) const {
  SslPtr ssl(SSL_new(ctx_.get()));
  if (ssl == nullptr) return nullptr;
  if (IpAddress::Parse(host).has_value()) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) != 1) return nullptr;
  } else {
    // Neither certificates (RFC 6125) nor SNI (RFC 6066 section 3) know the root's dot.
    std::string name = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl.get(), name.c_str()) != 1 || SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1) {
      return nullptr;
    }
  }
  // In the order of our liking; each with its length before it.
  static constexpr unsigned char kProtocols[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  static constexpr unsigned kHttp2Size = 3;
  const unsigned begin = version == HttpVersion::kHttp1 ? kHttp2Size : 0;
  const unsigned end = version == HttpVersion::kHttp2 ? kHttp2Size : sizeof kProtocols;
  if (SSL_set_alpn_protos(ssl.get(), kProtocols + begin, end - begin) != 0) return nullptr;
  SSL_set_connect_state(ssl.get());
  return ssl;
}

void TlsContext::SetSessionSink(SSL* ssl, SessionSink* sink) { SSL_set_ex_data(ssl, SinkIndex(), sink); }

}  // namespace fetchd::server
