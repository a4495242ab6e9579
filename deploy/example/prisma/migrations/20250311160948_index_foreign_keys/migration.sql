SET lock_timeout = '5s';

-- CreateIndex
CREATE INDEX CONCURRENTLY "orders_user_id_idx" ON "orders"("user_id");

-- CreateIndex
CREATE INDEX CONCURRENTLY "order_items_product_id_idx" ON "order_items"("product_id");
