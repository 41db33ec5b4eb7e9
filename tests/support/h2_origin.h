// The server's side of HTTP/2, on a ScriptedPeer.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/scripted_transport.h"

namespace fetchd::server {

// An origin that keeps the rules, or breaks them frame by frame (Raw). It answers when the test says so. Pump() takes
// in what the client wrote and sends what is due.
class H2Origin {
 public:
  struct Stream {
    std::map<std::string, std::string> fields;
    std::string body;
    bool complete = false;
    bool closed = false;
    uint32_t closed_by = 0;
    // Of the response.
    std::string to_send;
    size_t sent = 0;
    bool trailers_follow = false;
  };
  using Fields = std::vector<std::pair<std::string, std::string>>;

  explicit H2Origin(std::shared_ptr<ScriptedPeer> peer, uint32_t max_streams = 100) : peer_(std::move(peer)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBegin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
  }
  ~H2Origin() { nghttp2_session_del(session_); }
  H2Origin(const H2Origin&) = delete;
  H2Origin& operator=(const H2Origin&) = delete;

  // Takes in what came, and sends what is due. True if something happened.
  bool Pump() {
    const std::string in = peer_->received();
    peer_->ClearReceived();
    if (!in.empty()) nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(in.data()), in.size());
    std::string out;
    for (const uint8_t* data = nullptr;;) {
      const ssize_t n = nghttp2_session_mem_send(session_, &data);
      if (n <= 0) break;
      out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    }
    const bool sent = !out.empty();
    if (sent) peer_->Send(std::move(out));
    return sent || !in.empty();
  }

  // By stream id; 1, 3, 5, ... as they come.
  std::map<int32_t, Stream>& streams() { return streams_; }
  nghttp2_session* session() { return session_; }
  int acks() const { return ping_acks_; }
  int settings_acks() const { return settings_acks_; }
  // Of the client's GOAWAY; -1: none came.
  int64_t goaway() const { return goaway_; }

  // A head; with `more`, body or trailers follow.
  void Head(int32_t id, std::string_view status, const Fields& fields = {}, bool more = false) {
    std::vector<nghttp2_nv> nvs = {Pair(":status", status)};
    for (const auto& [name, value] : fields) nvs.push_back(Pair(name, value));
    nghttp2_submit_headers(session_, more ? NGHTTP2_FLAG_NONE : NGHTTP2_FLAG_END_STREAM, id, nullptr, nvs.data(),
                           nvs.size(), nullptr);
  }
  // A whole response.
  void Respond(int32_t id, std::string_view status, std::string body, const Fields& fields = {}) {
    Stream& stream = streams_[id];
    stream.to_send = std::move(body);
    std::vector<nghttp2_nv> nvs = {Pair(":status", status)};
    for (const auto& [name, value] : fields) nvs.push_back(Pair(name, value));
    nghttp2_data_provider provider{.source = {.ptr = this}, .read_callback = ReadBody};
    nghttp2_submit_response(session_, id, nvs.data(), nvs.size(), &provider);
  }
  void Trailers(int32_t id, const Fields& fields) {
    std::vector<nghttp2_nv> nvs;
    for (const auto& [name, value] : fields) nvs.push_back(Pair(name, value));
    nghttp2_submit_trailer(session_, id, nvs.data(), nvs.size());
  }
  void Reset(int32_t id, uint32_t code) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code); }
  void GoAway(int32_t last_id) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_id, NGHTTP2_NO_ERROR, nullptr, 0);
  }
  void Settings(int32_t id, uint32_t value) {
    const nghttp2_settings_entry entry{id, value};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
  }
  // A frame as it is.
  void Raw(uint8_t type, uint8_t flags, int32_t id, std::string_view payload) {
    peer_->Send(Frame(type, flags, id, payload));
  }
  static std::string Frame(uint8_t type, uint8_t flags, int32_t id, std::string_view payload) {
    std::string frame;
    const auto put = [&frame](uint32_t value, int bytes) {
      while (bytes-- > 0) frame.push_back(static_cast<char>(value >> (8 * bytes)));
    };
    put(static_cast<uint32_t>(payload.size()), 3);
    put(type, 1);
    put(flags, 1);
    put(static_cast<uint32_t>(id), 4);
    frame += payload;
    return frame;
  }

 private:
  static H2Origin& Self(void* p) { return *static_cast<H2Origin*>(p); }
  static nghttp2_nv Pair(std::string_view name, std::string_view value) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
  }
  static int OnBegin(nghttp2_session*, const nghttp2_frame* frame, void* p) {
    Self(p).streams_[frame->hd.stream_id];
    return 0;
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* p) {
    Self(p).streams_[frame->hd.stream_id].fields[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* p) {
    H2Origin& self = Self(p);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++self.ping_acks_;
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++self.settings_acks_;
    if (frame->hd.type == NGHTTP2_GOAWAY) self.goaway_ = frame->goaway.error_code;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self.streams_[frame->hd.stream_id].complete = true;
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* p) {
    Self(p).streams_[id].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t id, uint32_t code, void* p) {
    Stream& stream = Self(p).streams_[id];
    stream.closed = true;
    stream.closed_by = code;
    return 0;
  }
  static ssize_t ReadBody(nghttp2_session*, int32_t id, uint8_t* buffer, size_t size, uint32_t* flags,
                          nghttp2_data_source*, void* p) {
    Stream& stream = Self(p).streams_[id];
    const size_t n = std::min(size, stream.to_send.size() - stream.sent);
    std::memcpy(buffer, stream.to_send.data() + stream.sent, n);
    stream.sent += n;
    if (stream.sent == stream.to_send.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream.trailers_follow) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return static_cast<ssize_t>(n);
  }

  std::shared_ptr<ScriptedPeer> peer_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Stream> streams_;
  int ping_acks_ = 0;
  int settings_acks_ = 0;
  int64_t goaway_ = -1;
};

}  // namespace fetchd::server
