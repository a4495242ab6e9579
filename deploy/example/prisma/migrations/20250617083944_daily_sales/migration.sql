-- CreateMaterializedView
CREATE MATERIALIZED VIEW "daily_sales" AS
SELECT
    date_trunc('day', o."placed_at")::date AS "day",
    COUNT(DISTINCT o."id") AS "orders",
    SUM(i."quantity" * i."unit_price_cents")::bigint AS "revenue_cents"
FROM "orders" o
JOIN "order_items" i ON i."order_id" = o."id"
WHERE o."status" IN ('PAID', 'SHIPPED')
GROUP BY 1
WITH DATA;

-- CreateIndex (REFRESH MATERIALIZED VIEW CONCURRENTLY needs a unique one)
CREATE UNIQUE INDEX "daily_sales_day_key" ON "daily_sales"("day");
