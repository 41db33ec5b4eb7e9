#include "net/tcp_transport.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "net/dialler.h"
#include "net/reactor.h"
#include "support/loop.h"

namespace fetchd::server {
namespace {

using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

using Kind = IoResult::Kind;

// A transport and the bare socket at its other end.
class TcpTransportTest : public ::testing::Test {
 protected:
  TcpTransportTest() : loop_(clock_), far_(loop_.executor()) {
    asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor(loop_.executor(),
                                                                  {asio::ip::address_v4::loopback(), 0});
    Endpoint endpoint{IpAddress::V4({127, 0, 0, 1}), acceptor.local_endpoint().port()};
    TcpDialler dialler(loop_.executor());
    Dialler::Result dialled = loop_.Run(dialler.Dial(endpoint, loop_.scope()));
    EXPECT_FALSE(dialled.ec) << dialled.ec.message();
    acceptor.accept(far_);
    transport_ = std::make_unique<TcpTransport>(std::move(dialled.socket), endpoint);
  }

  void FarSends(std::string_view text) { asio::write(far_, asio::buffer(text.data(), text.size())); }
  // Resets the connection instead of ending it in order.
  void FarResets() {
    far_.set_option(asio::socket_base::linger(true, 0));
    far_.close();
  }
  IoResult Read(size_t size = 4096) {
    buffer_.resize(size);
    IoResult result = loop_.Run(transport_->ReadSome(buffer_, loop_.scope()));
    buffer_.resize(result.n);
    return result;
  }
  IoResult Write(std::string_view a, std::string_view b = {}) {
    asio::const_buffer buffers[] = {asio::buffer(a.data(), a.size()), asio::buffer(b.data(), b.size())};
    return loop_.Run(transport_->WriteSome(buffers, loop_.scope()));
  }

  FakeClock clock_;
  Loop loop_;
  TcpSocket far_;
  std::unique_ptr<TcpTransport> transport_;
  std::string buffer_;
};

TEST_F(TcpTransportTest, ReadsWhatIsThere) {
  FarSends("hello");
  IoResult result = Read();
  EXPECT_EQ(result.kind, Kind::kOk);
  EXPECT_EQ(buffer_, "hello");
}

TEST_F(TcpTransportTest, FullBuffersAreFollowedByTheRest) {
  FarSends("hello");
  std::string all;
  while (all.size() < 5) {
    EXPECT_TRUE(Read(2).ok());
    all += buffer_;
  }
  EXPECT_EQ(all, "hello");
  // The last full buffer was the end of what is there: the next read waits.
  FarSends("xy");
  Read(2);
  std::optional<IoResult> next;
  buffer_.resize(8);
  loop_.Start(transport_->ReadSome(buffer_, loop_.scope()), next);
  loop_.Poll();
  EXPECT_FALSE(next.has_value());
  FarSends("z");
  loop_.RunUntil([&] { return next.has_value(); });
  EXPECT_EQ(next->n, 1u);
}

TEST_F(TcpTransportTest, TheReactorKnowsBulkFromMessages) {
  const Reactor& reactor = Reactor::Of(static_cast<asio::io_context&>(loop_.executor().context()));
  EXPECT_FALSE(reactor.bulk());
  FarSends(std::string(64 * 1024, 'x'));
  for (size_t left = 64 * 1024; left > 0; left -= buffer_.size()) {
    ASSERT_TRUE(Read(left).ok());
    EXPECT_EQ(reactor.bulk(), buffer_.size() >= 8 * 1024);
  }
  FarSends("a message");
  Read();
  EXPECT_FALSE(reactor.bulk());
}

TEST_F(TcpTransportTest, WritesSeveralBuffersAsOneSequence) {
  IoResult result = Write("head", "body");
  EXPECT_EQ(result.kind, Kind::kOk);
  EXPECT_EQ(result.n, 8u);
  char got[8];
  EXPECT_EQ(asio::read(far_, asio::buffer(got)), 8u);
  EXPECT_EQ(std::string(got, 8), "headbody");
}

TEST_F(TcpTransportTest, AFullSocketMakesAWriteWaitAndReportsProgress) {
  std::string block(1 << 20, 'x');
  asio::const_buffer buffers[] = {asio::buffer(block)};
  std::optional<IoResult> result;
  size_t written = 0;
  for (;;) {
    result.reset();
    loop_.Start(transport_->WriteSome(buffers, loop_.scope()), result);
    loop_.Poll();
    if (!result.has_value()) break;
    ASSERT_TRUE(result->ok());
    written += result->n;
  }
  std::string got(written, '\0');
  asio::read(far_, asio::buffer(got));
  loop_.RunUntil([&] { return result.has_value(); });
  EXPECT_TRUE(result->ok());
  EXPECT_GT(result->n, 0u);
}

TEST_F(TcpTransportTest, TheEndInOrderIsEof) {
  FarSends("x");
  far_.shutdown(TcpSocket::shutdown_send);
  EXPECT_EQ(Read().n, 1u);
  EXPECT_EQ(Read().kind, Kind::kEof);
}

TEST_F(TcpTransportTest, ABrokenConnectionIsReset) {
  FarResets();
  EXPECT_EQ(Read().kind, Kind::kReset);
  EXPECT_EQ(Write("x").kind, Kind::kReset);
}

TEST_F(TcpTransportTest, StoppingTheScopeEndsTheReadAndKeepsTheBytes) {
  CancelScope scope(loop_.scope(), clock_.Now() + std::chrono::seconds(1), FailureCode::kConnectionReadTimeout);
  std::optional<IoResult> result;
  buffer_.resize(16);
  loop_.Start(transport_->ReadSome(buffer_, scope), result);
  loop_.Poll();
  loop_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->kind, Kind::kStopped);
  FarSends("later");
  EXPECT_TRUE(Read().ok());
  EXPECT_EQ(buffer_, "later");
}

TEST_F(TcpTransportTest, StoppingOneDirectionLeavesTheOtherWaiting) {
  CancelScope write_scope(loop_.scope(), kNever, FailureCode::kInternal);
  std::string block(8 << 20, 'x');
  asio::const_buffer buffers[] = {asio::buffer(block)};
  std::optional<IoResult> read, write;
  buffer_.resize(16);
  loop_.Start(transport_->ReadSome(buffer_, loop_.scope()), read);
  for (;;) {
    write.reset();
    loop_.Start(transport_->WriteSome(buffers, write_scope), write);
    loop_.Poll();
    if (!write.has_value()) break;
  }
  write_scope.Cancel(FailureCode::kConnectionWriteTimeout);
  loop_.Poll();
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->kind, Kind::kStopped);
  EXPECT_FALSE(read.has_value());
  FarSends("hi");
  loop_.RunUntil([&] { return read.has_value(); });
  EXPECT_EQ(read->n, 2u);
}

TEST_F(TcpTransportTest, CloseEndsAWaitingRead) {
  std::optional<IoResult> result;
  buffer_.resize(16);
  loop_.Start(transport_->ReadSome(buffer_, loop_.scope()), result);
  loop_.Poll();
  transport_->Close();
  transport_->Close();
  loop_.Poll();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->kind, Kind::kError);
  EXPECT_EQ(Read().kind, Kind::kError);
  EXPECT_EQ(Write("x").kind, Kind::kError);
  EXPECT_FALSE(transport_->LooksAlive());
}

TEST_F(TcpTransportTest, LooksAliveWhileSilent) {
  EXPECT_TRUE(transport_->LooksAlive());
  EXPECT_TRUE(transport_->LooksAlive());
}

TEST_F(TcpTransportTest, LooksDeadWithUnaskedBytes) {
  FarSends("x");
  loop_.RunUntil([&] { return !transport_->LooksAlive(); });
  EXPECT_TRUE(Read().ok());  // it only looked
}

TEST_F(TcpTransportTest, LooksDeadAfterTheEndOrAReset) {
  far_.shutdown(TcpSocket::shutdown_send);
  loop_.RunUntil([&] { return !transport_->LooksAlive(); });
  FarResets();
  EXPECT_FALSE(transport_->LooksAlive());
}

TEST(TcpDialler, ReportsRefusal) {
  Loop loop;
  // Bound, but not listening.
  TcpSocket bound(loop.executor(), {asio::ip::address_v4::loopback(), 0});
  TcpDialler dialler(loop.executor());
  Dialler::Result result =
      loop.Run(dialler.Dial({IpAddress::V4({127, 0, 0, 1}), bound.local_endpoint().port()}, loop.scope()));
  EXPECT_EQ(result.ec, asio::error::connection_refused);
}

TEST(TcpDialler, AStoppedScopeAborts) {
  Loop loop;
  CancelScope scope(loop.scope(), kNever, FailureCode::kInternal);
  scope.Cancel(FailureCode::kCancelled);
  TcpDialler dialler(loop.executor());
  EXPECT_EQ(loop.Run(dialler.Dial({IpAddress::V4({127, 0, 0, 1}), 9}, scope)).ec, asio::error::operation_aborted);
}

}  // namespace
}  // namespace fetchd::server
