/* How runners share one database: lease, fence, nonce, sweep, takeover, COMMIT in doubt, failover, marker, gates.
 * docs/model.md connects every label with the code; `model/check` checks this model and its mutants.
 *
 * A paused runner is one that is not scheduled for a while, so nothing here says "pause". What the
 * server does by itself (finish a COMMIT or a statement, end a backend) is done by a process for each
 * connection: it goes on when the client is paused or gone, and a client may lose sight of it.
 * Runners and faults are few, and every wait ends, so every execution comes to an end; there the last
 * runner, which is never killed, must have found the marker complete (else: "invalid end state").
 *
 * The work: marker "running", a migration in a transaction, an index built outside of transactions, the
 * record that it is there, marker "complete". */

#ifndef RUNNERS
#define RUNNERS 2
#endif
#ifndef FAULTS /* connections lost by either side, and leases that their holder does not renew in time */
#ifdef FAILOVER
#define FAULTS 0
#else
#define FAULTS 1
#endif
#endif
#ifdef POOLED /* nobody can be ended by name, and nothing runs outside of transactions */
#define NO_SWEEP
#endif
#define CONNECTIONS (2 * RUNNERS) /* each runner's, and another to read an outcome back */
#define NONE 255

/* What a connection is at. The last five: the COMMIT of a transaction that did this. */
mtype = { GONE, IDLE, BUILD, MARK_RUNNING, MIGRATE, RECORD, MARK_COMPLETE, MARK_ENDED };
mtype = { ABSENT, INVALID, VALID }; /* the index */
/* The marker. OTHER_DIGEST: complete for other content. ENDED: running, with a code. */
mtype = { OTHER_DIGEST, RUNNING, ENDED, COMPLETE };

/* --- the database */
byte fence = 0, nonce = 0; /* the lock row: whose it is */
bool expired = true;       /* its expires_at has passed */
bool silent = false;       /* it has not, by a clock that was set back, but nobody has renewed it for its ttl */
byte server = 0;           /* which one: a promoted standby is another */
byte locked_by = NONE;     /* the connection whose open transaction locks it */
byte steps = 0;            /* the history: 1 migrated, 2 the index is recorded */
mtype index = ABSENT;
mtype marker = OTHER_DIGEST;
mtype marker_of_other_scope = COMPLETE; /* another tenant's, of the same release */

mtype state[CONNECTIONS] = GONE;
byte fence_of[CONNECTIONS] = NONE; /* in its application_name */
byte nonce_of[CONNECTIONS] = NONE; /* likewise */
bool told[CONNECTIONS];            /* to end */

/* --- the world */
byte faults = FAULTS;
bool alive[RUNNERS] = true;
byte renewed_by = NONE; /* the runner that keeps the lease from expiring */
byte takings = 0;       /* of the lock row, lost ones too; makes nonces, none of which comes twice */

/* --- what must hold */
byte newest = 0, newest_nonce = 0; /* the taking whose work took effect last */
byte building = 0;                 /* statements at work outside of transactions */
/* Not part of the state; they give the assertions their names. */
hidden byte no_older_fence_works, once_and_in_order, one_statement_at_a_time, gate_opens_last;
hidden byte outcome_told_is_final, sweep_leaves_no_orphan, living_holder_keeps_it, holder_is_not_ended;
#define MUST(invariant, holds) invariant = (holds); assert(invariant)

inline takes_effect(c) {
  MUST(no_older_fence_works, fence_of[c] > newest || fence_of[c] == newest && nonce_of[c] == newest_nonce);
  newest = fence_of[c];
  newest_nonce = nonce_of[c]
}

inline end_connection(c) {
  if
  :: locked_by == c -> locked_by = NONE
  :: else
  fi;
  if
  :: state[c] == BUILD -> building--
  :: else
  fi;
  state[c] = GONE;
  fence_of[c] = NONE;
  nonce_of[c] = NONE;
  told[c] = false
}

inline committed(c) {
  state[c] = IDLE;
  if
  :: locked_by == c -> locked_by = NONE
  :: else
  fi
}

/* The server's side of a connection. */
proctype backend(byte c) {
end:
  do
  :: atomic {
      state[c] == MARK_RUNNING ->
      takes_effect(c);
      MUST(once_and_in_order, steps < 2);
      marker = RUNNING;
      committed(c)
    }
  :: atomic {
      state[c] == MIGRATE ->
      takes_effect(c);
      MUST(once_and_in_order, steps == 0);
      steps = 1;
      committed(c)
    }
  :: atomic {
      state[c] == BUILD ->
      takes_effect(c);
      MUST(once_and_in_order, steps == 1 && index == INVALID);
      index = VALID;
      building--;
      state[c] = IDLE
    }
  :: atomic {
      state[c] == RECORD ->
      takes_effect(c);
#ifdef POOLED
      index = VALID;
#endif
      MUST(once_and_in_order, steps == 1 && index == VALID);
      steps = 2;
      committed(c)
    }
  :: atomic {
      state[c] == MARK_COMPLETE ->
      takes_effect(c);
      MUST(once_and_in_order, steps == 2);
      marker = COMPLETE;
      committed(c)
    }
  :: atomic {
      state[c] == MARK_ENDED ->
      takes_effect(c);
      if
      :: marker == RUNNING -> marker = ENDED
      :: else
      fi;
      committed(c)
    }
  :: atomic { told[c] -> end_connection(c) }
  :: atomic {
      state[c] != GONE && !told[c] && faults > 0 ->
      faults--;
      end_connection(c)
    }
  od
}

/* A lease that nobody renews for its ttl. Giving it back is the first. A holder that is slow or cut off gives up
 * before; a clock that was set forward looks the same to all. */
active proctype clock() {
end:
  do
  :: atomic {
      !expired && !silent && (renewed_by == NONE || faults > 0) ->
      if
      :: renewed_by == NONE
      :: else -> faults--; renewed_by = NONE
      fi;
      if
      :: expired = true
      :: silent = true
      fi
    }
  od
}

#ifdef FAILOVER
/* A standby that lags behind and is promoted: what was committed meanwhile is lost, and every connection. */
active proctype standby() {
  byte i, fence_then, nonce_then, newest_then, newest_nonce_then, steps_then;
  bool expired_then, silent_then;
  mtype index_then, marker_then;
  atomic {
    fence_then = fence; nonce_then = nonce; expired_then = expired; silent_then = silent;
    steps_then = steps; index_then = index; marker_then = marker;
    newest_then = newest; newest_nonce_then = newest_nonce
  };
end_behind:
  d_step {
    i = 0;
    do
    :: i < CONNECTIONS -> end_connection(i); i++
    :: else -> break
    od;
    if
    :: nonce != nonce_then -> renewed_by = NONE
    :: else
    fi;
    fence = fence_then; nonce = nonce_then; expired = expired_then; silent = silent_then;
    steps = steps_then; index = index_then; marker = marker_then;
    newest = newest_then; newest_nonce = newest_nonce_then;
    server++
  }
}
#endif

/* Kills any runner but the last, at any moment. Its connections stay as they are. */
proctype killer(byte victim) {
end:
  atomic {
    alive[victim] = false;
    if
    :: renewed_by == victim -> renewed_by = NONE
    :: else
    fi
  }
}

/* A connection with another nonce than this in its name; 0: with an older fence. */
#define older(c, f, n) (fence_of[c] != NONE && ((n) == 0 -> fence_of[c] < (f) : nonce_of[c] != (n)))
#ifdef NAME_CHANGED
bool renamed[CONNECTIONS];
#define found(c, f, n) (older(c, f, n) && !renamed[c])
#else
#define found(c, f, n) older(c, f, n)
#endif
#define untold(c, f, n) (found(c, f, n) && !told[c])
/* Nonces grow here, which only the model may know. */
#define orphan(c, f, n) (nonce_of[c] < (n))
#if RUNNERS == 2
#define ANY(what, f, n) (what(0, f, n) || what(1, f, n) || what(2, f, n) || what(3, f, n))
#else
#define ANY(what, f, n) \
  (what(0, f, n) || what(1, f, n) || what(2, f, n) || what(3, f, n) || what(4, f, n) || what(5, f, n))
#endif

#ifdef NO_NONCE_IN_SWEEP
#define SWEPT_NONCE 0
#else
#define SWEPT_NONCE my_nonce
#endif
#ifdef SWEEP_UNASKED
#define SWEEPS true
#else
#define SWEEPS (nonce == my_nonce) /* whose is the row now? */
#endif
#ifdef NONCE_IN_SWEEP_BEFORE
#define SWEPT_NONCE_BEFORE NONE
#else
#define SWEPT_NONCE_BEFORE 0 /* a faster waiter may have this fence by now */
#endif

inline end_older(f, n) {
  d_step {
    i = 0;
    do
    :: i < CONNECTIONS ->
      if
      :: untold(i, f, n) ->
        MUST(holder_is_not_ended, nonce_of[i] != nonce || renewed_by == NONE);
        told[i] = true
      :: else
      fi;
      i++
    :: else -> break
    od;
    i = 0
  }
}

/* Under the name of a taking that may be an old one by now. */
inline connect() {
  atomic {
    if
    :: state[2 * me] == GONE -> conn = 2 * me
    :: else -> conn = 2 * me + 1
    fi;
    assert(state[conn] == GONE);
    state[conn] = IDLE;
    fence_of[conn] = mine;
    nonce_of[conn] = my_nonce
  }
}

/* The fence check waits while another transaction locks the row, but not for ever: lock_timeout, or the local
 * clock, ends the run when the lease is over. */
#ifdef NO_NONCE_IN_CHECK
#define IS_MINE (fence == mine)
#else
#define IS_MINE (fence == mine && nonce == my_nonce)
#endif
#define CHECK(and_then) \
  atomic { \
    (state[conn] == GONE || locked_by == NONE || !IS_MINE || expired || silent) -> \
    if \
    :: state[conn] != GONE && locked_by == NONE && IS_MINE -> and_then \
    :: else -> goto over \
    fi \
  }

/* Closes the connection and stops renewing: what then expires may as well have been given back. */
inline run_ends() {
  atomic {
    if
    :: conn != NONE && state[conn] != GONE -> end_connection(conn)
    :: else
    fi;
    if
    :: renewed_by == me -> renewed_by = NONE
    :: else
    fi;
    mine = 0;
    my_nonce = 0;
    conn = NONE;
    plan = 0;
    built = false
  }
}

/* The answer to what `conn` was sent, if it comes. */
#define ANSWER(in_doubt) \
  if \
  :: state[conn] == IDLE \
  :: state[conn] == GONE -> goto in_doubt \
  :: atomic { /* cut off; the server does not know it yet */ \
      faults > 0 && (state[2 * me] == GONE || state[2 * me + 1] == GONE) -> \
      faults--; \
      conn = NONE; \
      goto in_doubt \
    } \
  fi

#ifdef NO_FENCE
#define CHECK_IN(work)
#elif defined(NO_FENCE_FOR_MARKER)
#define CHECK_IN(work) \
  if \
  :: work == MARK_RUNNING || work == MARK_COMPLETE || work == MARK_ENDED \
  :: else -> CHECK(locked_by = conn) \
  fi
#elif defined(NO_ROW_LOCK)
#define CHECK_IN(work) CHECK(skip)
#else
#define CHECK_IN(work) CHECK(locked_by = conn)
#endif

#define TRANSACTION(work, in_doubt) \
  CHECK_IN(work); \
  atomic { \
    if \
    :: state[conn] == IDLE -> state[conn] = work \
    :: else -> goto over \
    fi \
  }; \
  ANSWER(in_doubt)

#ifdef RUN_IGNORES_SCOPE
#define IS_COMPLETE (marker == COMPLETE || marker_of_other_scope == COMPLETE)
#else
#define IS_COMPLETE (marker == COMPLETE)
#endif
/* The marker is complete: then nothing is to be done. */
#define FINISHED_IF_COMPLETE \
  atomic { \
    if \
    :: IS_COMPLETE -> \
      MUST(gate_opens_last, steps == 2 && marker == COMPLETE); \
      goto finished \
    :: else \
    fi \
  }

#ifdef ANY_SIGN_OF_LIFE
#define MAY_TAKE (expired || seen != 0)
#else
#define MAY_TAKE (expired || seen == nonce)
#endif

proctype runner(byte me) {
  byte mine = 0, my_nonce = 0, seen = 0, on = 0, conn = NONE, plan = 0, i = 0;
  bool built = false;
  {
    skip; /* a label may not come first */
again:
    on = server; /* on a connection that lasts until `begin` */
    FINISHED_IF_COMPLETE;
#ifdef PLAN_BEFORE_TAKE
    plan = steps;
#endif
take:
    do /* sees it expired, or nobody renewing it for its ttl; ends what is in the way; tries */
    :: on != server -> goto over
    :: atomic {
        if
        :: expired -> seen = 0
#ifdef NO_TTL_WAITED
        :: !expired && faults > 0 -> faults--; seen = nonce
#elif !defined(NO_SILENCE)
        :: silent -> seen = nonce
#endif
        fi;
        mine = fence + 1
      };
#if !defined(NO_SWEEP) && !defined(NO_SWEEP_BEFORE)
      atomic {
        if
        :: on == server -> end_older(mine, SWEPT_NONCE_BEFORE)
        :: else -> goto over
        fi
      };
#endif
      if
      :: atomic {
          MAY_TAKE && locked_by == NONE && on == server ->
          MUST(living_holder_keeps_it, renewed_by == NONE);
          fence++;
          takings++;
          nonce = takings;
          mine = fence;
          my_nonce = nonce;
          seen = 0;
          expired = false;
          silent = false;
          renewed_by = me;
          break
        }
      :: !MAY_TAKE
      :: on != server -> goto over
#if !defined(NO_SWEEP) && !defined(NO_SWEEP_BEFORE)
      :: MAY_TAKE && locked_by != NONE && ANY(untold, fence + 1, 0)
#endif
      fi
    od;
#ifdef LOOK_BEFORE_SWEEP
    built = (index == VALID);
#endif
clear_the_way:
#if !defined(NO_SWEEP) && !defined(NO_SWEEP_AFTER)
    do
    :: on != server -> goto over
    :: atomic { on == server && !SWEEPS -> break } /* taken meanwhile: the fence check will say so */
    :: atomic { ANY(untold, mine, SWEPT_NONCE) && on == server && SWEEPS -> end_older(mine, SWEPT_NONCE) }
#ifdef NO_WAIT
    :: !ANY(untold, mine, SWEPT_NONCE) && on == server -> break
#else
    :: atomic {
        !ANY(found, mine, SWEPT_NONCE) && on == server ->
        MUST(sweep_leaves_no_orphan, !ANY(orphan, mine, my_nonce));
        break
      }
#endif
    od;
#endif
begin:
    connect();
    FINISHED_IF_COMPLETE; /* another runner may have done it while we waited */
#ifndef PLAN_BEFORE_TAKE
    plan = steps;
#endif
#ifdef COMPLETE_BEFORE_WORK
    TRANSACTION(MARK_COMPLETE, reconnect);
#endif
close_gates:
    if
    :: plan < 2 -> TRANSACTION(MARK_RUNNING, reconnect)
    :: else
    fi;
one_transaction:
    if
    :: plan == 0 -> TRANSACTION(MIGRATE, read_back)
    :: else
    fi;
    goto alone_segment;
read_back: /* waits until the old connection has let go of the row; then the outcome is final */
    connect();
#ifdef READ_BACK_AT_ONCE
    plan = steps;
#else
    CHECK(plan = steps);
#endif
    if
    :: plan == 0 ->
      MUST(outcome_told_is_final, state[2 * me] != MIGRATE && state[2 * me + 1] != MIGRATE);
      goto record
    :: else
    fi;
alone_segment:
    if
    :: plan < 2 ->
#ifdef POOLED
      built = true;
#elif !defined(LOOK_BEFORE_SWEEP)
      built = (index == VALID);
#endif
      if
      :: !built ->
run_alone: /* check and statement on one connection, which was there under our name before */
#ifndef NO_SECOND_CHECK
        CHECK(skip);
#endif
#ifdef CHECK_ELSEWHERE
        atomic { end_connection(conn) };
        connect();
#endif
#ifdef NAME_CHANGED
        renamed[conn] = true;
#endif
        atomic {
#ifdef NAME_CHANGED
          renamed[conn] = false;
#endif
          if
          :: state[conn] == IDLE ->
            takes_effect(conn);
            MUST(one_statement_at_a_time, building == 0);
            MUST(once_and_in_order, steps == 1 && index != VALID);
            building++;
            index = INVALID; /* a left-over was dropped before */
            state[conn] = BUILD
          :: else -> goto over
          fi
        };
        ANSWER(reconnect)
      :: else
      fi;
      TRANSACTION(RECORD, reconnect)
    :: else
    fi;
finish:
    TRANSACTION(MARK_COMPLETE, reconnect);
    goto finished;
reconnect: /* to learn whether only the answer to the last COMMIT was lost, or to say that the run has ended */
    if
    :: state[2 * me] == GONE || state[2 * me + 1] == GONE -> connect()
    :: else -> goto over
    fi;
    CHECK(skip);
    FINISHED_IF_COMPLETE;
record:
    TRANSACTION(MARK_ENDED, over);
over: /* exit code 12 or 14; the platform runs the job again */
    run_ends();
    goto again;
finished:
    run_ends()
  } unless {
    atomic { !alive[me] -> mine = 0; my_nonce = 0; seen = 0; on = 0; conn = NONE; plan = 0; built = false; i = 0 }
  }
}

/* gate.match: release. Gates wait and look again; only the look that opens is shown. */
active proctype gate_of_release() {
end:
  atomic {
#if defined(GATE_IGNORES_DIGEST)
    marker == COMPLETE || marker == OTHER_DIGEST ->
#elif defined(GATE_IGNORES_STATUS)
    marker == COMPLETE || marker == RUNNING ->
#elif defined(GATE_IGNORES_CODE)
    marker == COMPLETE || marker == ENDED ->
#elif defined(GATE_IGNORES_SCOPE)
    marker == COMPLETE || marker_of_other_scope == COMPLETE ->
#else
    marker == COMPLETE ->
#endif
    MUST(gate_opens_last, steps == 2 && marker == COMPLETE)
  }
}

/* gate.match: migrations. */
#define IS_CLOSED (marker == RUNNING || marker == ENDED)
active proctype gate_of_migrations() {
end:
#ifdef GATE_LOOKS_TWICE
  !IS_CLOSED;
end_marker_read:
  atomic { steps == 2 -> MUST(gate_opens_last, marker == COMPLETE) }
#else
  atomic { steps == 2 && !IS_CLOSED -> MUST(gate_opens_last, marker == COMPLETE) }
#endif
}

init {
  atomic {
    byte i = 0;
    do
    :: i < CONNECTIONS -> run backend(i); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < RUNNERS -> run runner(i); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < RUNNERS - 1 -> run killer(i); i++
    :: else -> break
    od
  }
}
