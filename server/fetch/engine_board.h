// The board of a running engine.
#pragma once

#include "fetch/origin_board.h"

namespace fetchd::server {

class AddressGuard;
class Engine;
class EngineThread;
class Log;

// Asks the owner threads by posts; keeps nothing itself, so nobody pays while nobody asks.
class EngineBoard final : public OriginBoard {
 public:
  // All outlive this. What operators do is said in `log`.
  EngineBoard(Engine& engine, const AddressGuard& guard, Log& log) : engine_(engine), guard_(guard), log_(log) {}

  void List(OriginFilter filter, Executor home, OnList done) override;
  void Get(Origin origin, Executor home, OnOrigin done) override;
  void Check(FetchSpec spec, Executor home, OnCheck done) override;
  void Act(OriginAct act, Executor home, OnOrigin done) override;

 private:
  static Task<void> RunCheck(const FetchSpec& spec, const AddressGuard& guard, EngineThread& owner, UrlCheck& result);

  Engine& engine_;
  const AddressGuard& guard_;
  Log& log_;
};

}  // namespace fetchd::server
