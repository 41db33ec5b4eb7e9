#include "net/proxy_handshake.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace fetchd::server {
namespace {

// Of all heads of an answer to CONNECT, interim ones included. Squid's are below 1 KiB.
constexpr size_t kMaxHeadBytes = 16 * 1024;
constexpr int kMaxInterim = 8;
// Of a proxy's own words in our messages.
constexpr size_t kMaxQuoted = 80;

constexpr std::string_view kVersionStart = "HTTP/1.";

// A status line and fields, or what is wrong with them.
struct ConnectAnswer {
  int status = 0;
  std::string_view reason;
  const char* wrong = nullptr;
};

bool IsTokenChar(char c) { return IsAlnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos; }

// VCHAR, obs-text, blank and tab (RFC 9110 section 5.5).
bool IsFieldChar(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

bool IsField(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  return std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon), IsTokenChar) &&
         std::all_of(line.begin() + static_cast<std::ptrdiff_t>(colon), line.end(), IsFieldChar);
}

// `head` ends with the empty line, and its lines with CR LF.
ConnectAnswer ParseAnswer(std::string_view head) {
  ConnectAnswer answer;
  head.remove_suffix(2);
  const auto next_line = [&head] {
    const size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    return line;
  };
  // "HTTP/1.1 200 Connection established"; some leave out the blank before an empty reason.
  const std::string_view line = next_line();
  const auto digit = [&line](size_t i) { return i < line.size() && IsDigit(line[i]); };
  if (!line.starts_with(kVersionStart) || line.size() < 12 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
      !digit(9) || !digit(10) || !digit(11) || (line.size() > 12 && line[12] != ' ')) {
    answer.wrong = "its status line is malformed";
    return answer;
  }
  answer.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (line.size() > 13) answer.reason = line.substr(13);
  if (!std::all_of(answer.reason.begin(), answer.reason.end(), IsFieldChar)) {
    answer.wrong = "its status line is malformed";
  } else if (answer.status < 100 || answer.status > 599 || answer.status == 101) {
    answer.wrong = "it has a status that is none";
  }
  while (answer.wrong == nullptr && !head.empty()) {
    if (!IsField(next_line())) answer.wrong = "one of its header fields is malformed";
  }
  return answer;
}

// How many bytes are surely missing until the empty line: so many can be read without touching what follows it.
size_t MissingOfHead(std::string_view head) {
  if (head.ends_with("\r\n\r\n")) return 0;
  if (head.ends_with("\r\n\r")) return 1;
  if (head.ends_with("\r\n")) return 2;
  return head.ends_with('\r') ? 3 : 4;
}

// No more bytes can make it a head as HTTP/1 has it.
bool IsHopeless(std::string_view head) {
  const size_t n = std::min(head.size(), kVersionStart.size());
  if (head.substr(0, n) != kVersionStart.substr(0, n)) return true;
  // What was there before this read has passed; a read brings 4 bytes at most.
  for (size_t i = head.size() > 5 ? head.size() - 5 : 0; i < head.size(); ++i) {
    if (head[i] == '\0') return true;
    if (head[i] == '\n' && head[i - 1] != '\r') return true;
    if (head[i] == '\r' && i + 1 < head.size() && head[i + 1] != '\n') return true;
  }
  return false;
}

// A proxy's words, for messages.
std::string Quoted(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxQuoted)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

class Handshake {
 public:
  Handshake(Transport& transport, const Proxy& proxy, TunnelTarget target, CancelScope& scope)
      : transport_(transport), proxy_(proxy), target_(std::move(target)), scope_(scope) {}

  static Task<std::optional<Failure>> Run(Transport& transport, const Proxy& proxy, TunnelTarget target,
                                          CancelScope& scope) {
    Handshake handshake(transport, proxy, std::move(target), scope);
    bool open = false;
    if (proxy.kind == Proxy::Kind::kHttp) {
      open = co_await handshake.Connect();
    } else {
      open = co_await handshake.Socks5();
    }
    if (open && !handshake.target_.origin_speaks_first && !transport.LooksAlive()) co_await handshake.TellWhatFollows();
    co_return std::move(handshake.failure_);
  }

 private:
  // What returns bool is false once there is a failure.
  bool Fail(FailureCode code, std::string_view what) {
    failure_ = Failure{.code = code,
                       .phase = Phase::kProxy,
                       .processed = Processed::kNo,
                       .detail = Concat("proxy ", proxy_.name, " at ", transport_.peer().ToString(), ": ", what)};
    return false;
  }
  bool FailProtocol(std::string_view what) { return Fail(FailureCode::kProxyProtocolError, what); }
  bool FailIo(const IoResult& result) {
    switch (result.kind) {
      case IoResult::Kind::kStopped:
        return Fail(scope_.reason(), "the way to the origin was not open in time");
      case IoResult::Kind::kEof:
        return Fail(FailureCode::kProxyUnavailable, "it closed the connection");
      case IoResult::Kind::kReset:
        return Fail(FailureCode::kProxyUnavailable, "it reset the connection");
      default:
        return Fail(FailureCode::kProxyUnavailable, result.ec.message());
    }
  }

  Task<bool> Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const asio::const_buffer buffer(bytes.data(), bytes.size());
      IoResult result = co_await transport_.WriteSome(std::span(&buffer, 1), scope_);
      if (!result.ok()) co_return FailIo(result);
      bytes.remove_prefix(result.n);
    }
    co_return true;
  }

  Task<bool> Read(std::span<char> into) {
    while (!into.empty()) {
      IoResult result = co_await transport_.ReadSome(into, scope_);
      if (!result.ok()) co_return FailIo(result);
      into = into.subspan(result.n);
    }
    co_return true;
  }

  // The tunnel is open, and there is something to read although the origin was sent nothing.
  Task<void> TellWhatFollows() {
    std::array<char, 1> byte{};
    IoResult result = co_await transport_.ReadSome(byte, scope_);
    if (result.ok()) {
      FailProtocol("it sent more than its answer");
    } else {
      FailIo(result);
    }
  }

  // As it stands in authority-form (RFC 9112 section 3.2.3).
  std::string Authority() const {
    if (target_.address) return Endpoint{*target_.address, target_.port}.ToString();
    return Concat(target_.host, ":", target_.port);
  }

  Task<bool> Connect() {
    const std::string authority = Authority();
    std::string request = Concat("CONNECT ", authority, " HTTP/1.1\r\nhost: ", authority, "\r\n");
    if (!proxy_.authorization.empty()) request += Concat("proxy-authorization: ", proxy_.authorization, "\r\n");
    request += "user-agent: fetchd/0.1\r\n\r\n";
    bool good = co_await Write(request);
    size_t used = 0;
    for (int interim = 0; good; ++interim) {
      std::string head;
      good = co_await ReadHead(head, kMaxHeadBytes - used);
      if (!good) break;
      used += head.size();
      const ConnectAnswer answer = ParseAnswer(head);
      if (answer.wrong != nullptr) co_return FailProtocol(Concat("in its answer to CONNECT, ", answer.wrong));
      if (answer.status >= 200) co_return Judge(answer);
      if (interim == kMaxInterim) co_return FailProtocol("it sends one interim response after the other");
    }
    co_return false;
  }

  Task<bool> ReadHead(std::string& head, size_t room) {
    std::array<char, 4> bytes{};
    while (const size_t missing = MissingOfHead(head)) {
      if (head.size() + missing > room) co_return FailProtocol("its answer to CONNECT is over 16 KiB");
      IoResult result = co_await transport_.ReadSome(std::span(bytes).first(missing), scope_);
      if (!result.ok()) co_return FailIo(result);
      head.append(bytes.data(), result.n);
      if (IsHopeless(head)) co_return FailProtocol("what it answers to CONNECT is not HTTP/1");
    }
    co_return true;
  }

  // What a final answer to CONNECT means; its body, if it has one, is left unread.
  bool Judge(const ConnectAnswer& answer) {
    // Content-Length and Transfer-Encoding mean nothing there (RFC 9110 section 9.3.6).
    if (answer.status < 300) return true;
    std::string what = Concat("it answered CONNECT ", Authority(), " with status ", answer.status);
    if (!answer.reason.empty()) what += Concat(" (", Quoted(answer.reason), ")");
    // Tinyproxy says 401 to a wrong password.
    if (answer.status == 407 || answer.status == 401) return Fail(FailureCode::kProxyAuthenticationRequired, what);
    return Fail(answer.status >= 500 ? FailureCode::kDestinationUnavailable : FailureCode::kProxyRefused, what);
  }

  Task<bool> Socks5() {
    const bool has_credentials = !proxy_.username.empty();
    bool good =
        co_await Write(has_credentials ? std::string_view("\x05\x02\x00\x02", 4) : std::string_view("\x05\x01\x00", 3));
    std::array<char, 2> choice{};
    if (good) good = co_await Read(choice);
    if (!good) co_return false;
    if (choice[0] != 5) co_return FailProtocol("it does not speak SOCKS5");
    if (choice[1] == '\xff') {
      co_return Fail(FailureCode::kProxyAuthenticationRequired,
                     has_credentials ? "it takes no user name and password" : "it wants credentials");
    }
    if (choice[1] != 0 && !(choice[1] == 2 && has_credentials))
      co_return FailProtocol("it chose a method of authentication that was not offered");
    if (choice[1] == 2) good = co_await Authenticate();
    if (good) good = co_await AskSocks5();
    co_return good;
  }

  // RFC 1929.
  Task<bool> Authenticate() {
    std::string request = "\x01";
    for (const std::string* part : {&proxy_.username, &proxy_.password}) {
      request += static_cast<char>(part->size());
      request += *part;
    }
    bool good = co_await Write(request);
    std::array<char, 2> answer{};
    if (good) good = co_await Read(answer);
    if (!good) co_return false;
    if (answer[0] != 1) co_return FailProtocol("its answer to user name and password is malformed");
    if (answer[1] != 0) co_return Fail(FailureCode::kProxyAuthenticationRequired, "it refused user name and password");
    co_return true;
  }

  Task<bool> AskSocks5() {
    std::string request("\x05\x01\x00", 3);
    if (target_.address) {
      const auto* bytes = reinterpret_cast<const char*>(target_.address->bytes().data());
      request += target_.address->is_v4() ? '\x01' : '\x04';
      request.append(bytes, target_.address->is_v4() ? 4 : 16);
    } else {
      request += '\x03';
      request += static_cast<char>(target_.host.size());
      request += target_.host;
    }
    request += static_cast<char>(target_.port >> 8);
    request += static_cast<char>(target_.port & 0xff);
    bool good = co_await Write(request);
    std::array<char, 4> answer{};
    if (good) good = co_await Read(answer);
    if (!good) co_return false;
    if (answer[0] != 5 || answer[2] != 0) co_return FailProtocol("its answer to the SOCKS5 request is malformed");
    if (answer[1] != 0) co_return FailReply(static_cast<unsigned char>(answer[1]));
    // The address that the proxy uses, of which nothing is wanted but its end.
    size_t size = 0;
    switch (answer[3]) {
      case 1:
        size = 4;
        break;
      case 4:
        size = 16;
        break;
      case 3: {
        std::array<char, 1> length{};
        good = co_await Read(length);
        if (!good) co_return false;
        size = static_cast<unsigned char>(length[0]);
        break;
      }
      default:
        co_return FailProtocol("its answer to the SOCKS5 request has an unknown type of address");
    }
    std::array<char, 257> rest{};
    co_return co_await Read(std::span(rest).first(size + 2));
  }

  // RFC 1928 section 6.
  bool FailReply(int reply) {
    const auto fail = [&](FailureCode code, std::string_view why) {
      return Fail(code, Concat("it cannot lead to ", Authority(), ": ", why));
    };
    switch (reply) {
      case 1:
        return fail(FailureCode::kDestinationUnavailable, "general failure");
      case 2:
        return fail(FailureCode::kProxyRefused, "not allowed by its rules");
      case 3:
        return fail(FailureCode::kDestinationUnavailable, "network unreachable");
      case 4:
        return fail(FailureCode::kDestinationUnavailable, "host unreachable");
      case 5:
        return fail(FailureCode::kConnectionRefused, "connection refused");
      case 6:
        return fail(FailureCode::kDestinationUnavailable, "TTL expired");
      case 7:
        return fail(FailureCode::kProxyRefused, "CONNECT is not supported");
      case 8:
        return fail(FailureCode::kDestinationUnavailable, "this type of address is not supported");
      default:
        return FailProtocol(Concat("it answered the SOCKS5 request with the unknown reply ", reply));
    }
  }

  Transport& transport_;
  const Proxy& proxy_;
  const TunnelTarget target_;
  CancelScope& scope_;
  std::optional<Failure> failure_;
};

}  // namespace

Task<std::optional<Failure>> OpenTunnel(Transport& transport, const Proxy& proxy, TunnelTarget target,
                                        CancelScope& scope) {
  return Handshake::Run(transport, proxy, std::move(target), scope);
}

}  // namespace fetchd::server
