-- AlterTable
ALTER TABLE "order_items" ADD COLUMN     "unit_price_cents" INTEGER;

-- Back-fill: what the product costs today is the best we know of older orders.
UPDATE "order_items" AS i
SET "unit_price_cents" = p."price_cents"
FROM "products" AS p
WHERE p."id" = i."product_id"
  AND i."unit_price_cents" IS NULL;

-- AlterTable
ALTER TABLE "order_items" ALTER COLUMN "unit_price_cents" SET NOT NULL;
