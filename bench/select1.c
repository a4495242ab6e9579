/* The least that a program can do with libpq: connect, ask once, leave. */
#include <libpq-fe.h>
#include <stdio.h>

int main(int argc, char **argv) {
  PGconn *connection = PQconnectdb(argc > 1 ? argv[1] : "");
  PGresult *answer = PQexec(connection, "select 1");
  const int good = PQresultStatus(answer) == PGRES_TUPLES_OK;
  if (!good) fputs(PQerrorMessage(connection), stderr);
  PQclear(answer);
  PQfinish(connection);
  return !good;
}
