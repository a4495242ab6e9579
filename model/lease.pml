/* How runners share one database: lease, fence, sweep, takeover, COMMIT in doubt, marker and gates.
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
#ifndef FAULTS
#define FAULTS 2 /* connections lost by either side, and leases that expire while their holder lives */
#endif
#ifdef POOLED /* nobody can be ended by name, and nothing runs outside of transactions */
#define NO_SWEEP
#endif
#define CONNECTIONS (2 * RUNNERS) /* each runner's, and another to read an outcome back */
#define NONE 255

/* What a connection is at. The last four: the COMMIT of a transaction that did this. */
mtype = { GONE, IDLE, BUILD, MARK_RUNNING, MIGRATE, RECORD, MARK_COMPLETE };
mtype = { ABSENT, INVALID, VALID };          /* the index */
mtype = { OTHER_DIGEST, RUNNING, COMPLETE }; /* the marker; OTHER_DIGEST: complete for other content */

/* --- the database */
byte fence = 0;        /* the lock row: whose it is */
bool expired = true;   /* its expires_at has passed */
byte locked_by = NONE; /* the connection whose open transaction locks it */
byte steps = 0;        /* the history: 1 migrated, 2 the index is recorded */
mtype index = ABSENT;
mtype marker = OTHER_DIGEST;

mtype state[CONNECTIONS] = GONE;
byte fence_of[CONNECTIONS] = NONE; /* in its application_name */
bool told[CONNECTIONS];            /* to end */

/* --- the world */
byte faults = FAULTS;
bool alive[RUNNERS] = true;
byte renewed_by = NONE; /* the runner that keeps the lease from expiring */

/* --- what must hold */
byte newest = 0;   /* the highest fence whose work took effect */
byte building = 0; /* statements at work outside of transactions */
/* Not part of the state; they give the assertions their names. */
hidden byte no_older_fence_works, once_and_in_order, one_statement_at_a_time, gate_opens_last;
hidden byte outcome_told_is_final;
#define MUST(invariant, holds) invariant = (holds); assert(invariant)

inline takes_effect(c) {
  MUST(no_older_fence_works, fence_of[c] >= newest);
  newest = fence_of[c]
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
  :: atomic { told[c] -> end_connection(c) }
  :: atomic {
      state[c] != GONE && !told[c] && faults > 0 ->
      faults--;
      end_connection(c)
    }
  od
}

/* Expiry: a lease that nobody renews, or one whose holder is slow or cut off. Giving it back is the first. */
active proctype clock() {
end:
  do
  :: atomic {
      !expired && (renewed_by == NONE || faults > 0) ->
      if
      :: renewed_by == NONE
      :: else -> faults--
      fi;
      expired = true
    }
  od
}

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

/* A connection with an older fence in its name. */
#ifdef NAME_CHANGED
bool renamed[CONNECTIONS];
#define older(c, f) (fence_of[c] < (f) && !renamed[c])
#else
#define older(c, f) (fence_of[c] < (f))
#endif
#define untold(c, f) (older(c, f) && !told[c])
#if RUNNERS == 2
#define ANY(what, f) (what(0, f) || what(1, f) || what(2, f) || what(3, f))
#else
#define ANY(what, f) (what(0, f) || what(1, f) || what(2, f) || what(3, f) || what(4, f) || what(5, f))
#endif

inline end_older(f) {
  d_step {
    i = 0;
    do
    :: i < CONNECTIONS ->
      if
      :: untold(i, f) -> told[i] = true
      :: else
      fi;
      i++
    :: else -> break
    od;
    i = 0
  }
}

/* Under the name of a fence that may be an old one by now. */
inline connect() {
  atomic {
    if
    :: state[2 * me] == GONE -> conn = 2 * me
    :: else -> conn = 2 * me + 1
    fi;
    assert(state[conn] == GONE);
    state[conn] = IDLE;
    fence_of[conn] = mine
  }
}

/* The fence check waits while another transaction locks the row, but not for ever: lock_timeout, or the local
 * clock, ends the run when the lease is over. */
#define CHECK(and_then) \
  atomic { \
    (state[conn] == GONE || locked_by == NONE || fence != mine || expired) -> \
    if \
    :: state[conn] != GONE && locked_by == NONE && fence == mine -> and_then \
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
  :: work == MARK_RUNNING || work == MARK_COMPLETE \
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

proctype runner(byte me) {
  byte mine = 0, conn = NONE, plan = 0, i = 0;
  bool built = false;
  {
    skip; /* a label may not come first */
again:
    if
    :: marker == COMPLETE -> goto finished
    :: else
    fi;
#ifdef PLAN_BEFORE_TAKE
    plan = steps;
#endif
take:
    do /* sees it expired, ends what is in the way, tries */
#if defined(NO_SWEEP) || defined(NO_SWEEP_BEFORE)
    :: expired ->
#else
    :: atomic { expired -> end_older(fence + 1) };
#endif
      if
      :: atomic {
          expired && locked_by == NONE ->
          fence++;
          mine = fence;
          expired = false;
          renewed_by = me;
          break
        }
      :: !expired
#if !defined(NO_SWEEP) && !defined(NO_SWEEP_BEFORE)
      :: expired && locked_by != NONE && ANY(untold, fence + 1)
#endif
      fi
    od;
#ifdef LOOK_BEFORE_SWEEP
    built = (index == VALID);
#endif
clear_the_way:
#if !defined(NO_SWEEP) && !defined(NO_SWEEP_AFTER)
    do
    :: atomic { ANY(untold, mine) -> end_older(mine) }
#ifdef NO_WAIT
    :: !ANY(untold, mine) -> break
#else
    :: !ANY(older, mine) -> break
#endif
    od;
#endif
begin:
    connect();
    if /* another runner may have done it while we waited */
    :: marker == COMPLETE -> goto finished
    :: else
    fi;
#ifndef PLAN_BEFORE_TAKE
    plan = steps;
#endif
#ifdef COMPLETE_BEFORE_WORK
    TRANSACTION(MARK_COMPLETE, over);
#endif
close_gates:
    if
    :: plan < 2 -> TRANSACTION(MARK_RUNNING, over)
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
      goto over
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
        ANSWER(over)
      :: else
      fi;
      TRANSACTION(RECORD, over)
    :: else
    fi;
finish:
    TRANSACTION(MARK_COMPLETE, over);
    goto finished;
over: /* exit code 12 or 14; the platform runs the job again */
    run_ends();
    goto again;
finished:
    run_ends()
  } unless {
    atomic { !alive[me] -> mine = 0; conn = NONE; plan = 0; built = false; i = 0 }
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
#else
    marker == COMPLETE ->
#endif
    MUST(gate_opens_last, steps == 2 && marker == COMPLETE)
  }
}

/* gate.match: migrations. Its look is two queries. */
active proctype gate_of_migrations() {
end:
#ifdef GATE_READS_MARKER_FIRST
  marker != RUNNING;
end_marker_read:
  atomic { steps == 2 -> MUST(gate_opens_last, marker == COMPLETE) }
#else
  steps == 2;
end_history_read:
  atomic { marker != RUNNING -> MUST(gate_opens_last, marker == COMPLETE) }
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
